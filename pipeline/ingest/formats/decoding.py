"""Bytes → text: byte-order marks, then UTF-8, then the encodings of the settings, then detection.

Line ends become `\\n` (`\\r\\n`, `\\r` too): the same page checked out on two systems has one content hash.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import BinaryIO

from charset_normalizer import from_bytes

from pipeline.errors import SourceError

BLOCK_BYTES = 1 << 20
SCAN_BYTES = 4 << 30
"""How much of a file is looked at for its encoding: to read all of one that has no end would take as long."""
SAMPLE_BYTES = 1 << 18
HEAD_BYTES = 1 << 13
MANY_NULS = 20
FEW_HIGH_BYTES = 8

# What documents are really written in; charset-normalizer's longer list has look-alikes that win on short texts.
KOREAN = "cp949"
MULTI_BYTE = [KOREAN, "cp932", "euc_jp", "gb18030", "big5"]
SINGLE_BYTE = ["cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874"]

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

SIGNATURES = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or Office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"PAR1", "a Parquet file"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
)

_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_VALID_MULTIBYTE = re.compile("[^\x00-\x7f\ufffd]")
_PAIR = re.compile(rb"[\x81-\xfe][\x41-\xfe]")
_SYLLABLE = re.compile(rb"[\xb0-\xc8][\xa1-\xfe]")
"""A syllable of KS X 1001 in EUC-KR and CP949: practically all that Koreans write."""
MOSTLY = 0.8
"""Text is Korean if so many of its pairs of bytes are syllables; of Chinese and Japanese text about half are."""


class UnreadableError(SourceError):
    """One source item cannot be read; the message is the reason alone. Ingest turns it into a `Rejection`."""


def decode(data: bytes, encodings: Sequence[str] = ()) -> str:
    """Decode a whole file; `encodings` are tried, in order, before detection. Raises `UnreadableError`."""
    encoding = choose_encoding(data, encodings)
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, UnicodeError) as error:
        raise UnreadableError(f"not valid {encoding}: {_first_line(error)}") from None
    return normalise_newlines(text)


def normalise_newlines(text: str) -> str:
    """`\\r\\n` and `\\r` → `\\n`."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def choose_encoding(data: bytes, encodings: Sequence[str] = ()) -> str:
    """Name of the codec that `data` is in. Raises `UnreadableError` if it is binary or in no known encoding."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    _refuse_signature(data)
    _refuse_nul(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _other_encoding(data, encodings, error)
    if len(_CONTROL.findall(text[:SAMPLE_BYTES])) * 20 > len(text[:SAMPLE_BYTES]):
        raise UnreadableError("binary content: mostly control characters")
    return "utf-8"


def _refuse_signature(data: bytes) -> None:
    for signature, kind in SIGNATURES:
        if data.startswith(signature) and (signature[0] > 0x7F or b"\0" in data or signature == b"%PDF-"):
            raise UnreadableError(f"binary content: this is {kind}, whatever its name says")


def _refuse_nul(data: bytes) -> None:
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise UnreadableError(f"NUL byte in line {line}: binary content, or UTF-16 without a byte-order mark")


def choose_file_encoding(stream: BinaryIO, encodings: Sequence[str] = ()) -> str:
    """As `choose_encoding`, for a file of any size, reading it once in bounded memory.

    A file that is UTF-8 but for some damaged bytes is called `utf-8`, and a few NULs pass: its reader refuses
    the damaged records alone. So is one that is UTF-8 in its first `SCAN_BYTES`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    block = stream.read(BLOCK_BYTES)
    for mark, encoding in BYTE_ORDER_MARKS:
        if block.startswith(mark):
            return encoding
    wide_seen = False
    head = block[:HEAD_BYTES]
    _refuse_signature(head)
    if head.count(0) * MANY_NULS > len(head):
        _refuse_nul(head)
    seen = 0
    while block and seen < SCAN_BYTES:
        seen += len(block)
        try:
            wide_seen = not decoder.decode(block).isascii() or wide_seen
        except UnicodeDecodeError as error:
            if wide_seen or is_damaged_utf8(block):
                return "utf-8"
            start = max(0, block.rfind(b"\n", 0, error.start) + 1)
            return _other_encoding(block[start : start + SAMPLE_BYTES], encodings, error)
        block = stream.read(BLOCK_BYTES)
    return "utf-8"


def is_damaged_utf8(data: bytes) -> bool:
    """Whether `data` is not UTF-8 and yet holds far more good multi-byte characters than bad bytes."""
    text = data.decode("utf-8", "replace")
    return len(_VALID_MULTIBYTE.findall(text)) > 2 * text.count("\ufffd")


def _other_encoding(data: bytes, encodings: Sequence[str], error: UnicodeDecodeError) -> str:
    for encoding in encodings:
        try:
            data.decode(encoding)
        except UnicodeError:
            continue
        except LookupError:
            raise UnreadableError(
                f"unknown encoding {encoding!r} in ingest.encodings; use a Python codec name"
            ) from None
        return encoding
    if is_damaged_utf8(data):
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(
            f"invalid UTF-8 in line {line}, byte {error.start}: damaged text; save it as UTF-8 again"
        )
    detected = _detect(data)
    if detected is None:
        raise UnreadableError(
            "not UTF-8 and in no encoding that could be recognised; save it as UTF-8 or name it in ingest.encodings"
        )
    return detected


def _detect(data: bytes) -> str | None:
    sample = _around_high_bytes(data)
    if _is_korean(sample) and _is_text(data, KOREAN):
        return KOREAN  # statistics are slow, and take a few syllables for rare Chinese characters
    names = [match.encoding for match in from_bytes(sample, cp_isolation=MULTI_BYTE + SINGLE_BYTE)]
    high_bytes = len(data) - len(data.translate(None, bytes(range(0x80, 0x100))))
    if "cp1252" in names and names[0] in SINGLE_BYTE and high_bytes < FEW_HIGH_BYTES:
        names.insert(0, "cp1252")  # too little to tell Western from Central European: the commoner one
    return next((name for name in names if _is_text(data, name)), None)


def _is_korean(sample: bytes) -> bool:
    pairs = _PAIR.findall(sample)
    return sum(_SYLLABLE.fullmatch(pair) is not None for pair in pairs) >= MOSTLY * max(1, len(pairs))


def _is_text(data: bytes, encoding: str) -> bool:
    try:
        return _CONTROL.search(data.decode(encoding)) is None
    except UnicodeError:
        return False


def _around_high_bytes(data: bytes) -> bytes:
    """A bounded sample made of the lines that hold non-ASCII bytes: the others say nothing about the encoding."""
    if len(data) <= SAMPLE_BYTES:
        return data
    lines = re.findall(rb"[^\n]*[\x80-\xff][^\n]*\n?", data)
    return b"".join(lines)[:SAMPLE_BYTES]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
