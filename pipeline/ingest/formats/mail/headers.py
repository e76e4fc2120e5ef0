"""Headers of messages → text: encoded words, and the bytes that some programs write as they are."""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from email.policy import Compat32

from pipeline.ingest.formats.decoding import UnreadableError, choose_encoding
from pipeline.ingest.formats.html.declared import codec_named

_WORD = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]*)?\?([bq])\?(.*?)\?=", re.IGNORECASE)
_FOLD = re.compile(r"[ \t]*[\r\n]+[ \t]*")


class Raw(Compat32):
    """Gives headers as they stand, bytes that are not ASCII as surrogates; the library would replace them."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        """The value as it was parsed."""
        return value


def header_text(value: object, codecs: Sequence[str] = ()) -> str:
    """A header on one line, decoded. `codecs`: what its raw bytes may be in, if not in UTF-8."""
    text = _FOLD.sub(" ", _without_raw_bytes(str(value), codecs))
    found: list[tuple[str, bytes | str]] = []
    place = 0
    for word in _WORD.finditer(text):
        between = text[place : word.start()]
        if between.strip() or not found:
            found.append(("", between))
        charset, data = word[1].lower(), _bytes(word[2].lower(), word[3])
        last = found[-1][1]
        if found[-1][0] == charset and isinstance(last, bytes):
            found[-1] = charset, last + data  # a character may begin in one word and end in the next
        else:
            found.append((charset, data))
        place = word.end()
    whole = "".join(part if isinstance(part, str) else _decoded(part, charset) for charset, part in found)
    return (whole + text[place:]).encode("utf-8", "replace").decode("utf-8")


def _without_raw_bytes(text: str, codecs: Sequence[str]) -> str:
    data = text.encode("utf-8", "surrogateescape")
    try:
        return data.decode(choose_encoding(data, codecs))
    except (UnreadableError, UnicodeError):
        return data.decode("utf-8", "replace")


def _bytes(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    try:
        if encoding == "q":
            return binascii.a2b_qp(data, header=True)
        return binascii.a2b_base64(data + b"===")
    except binascii.Error:
        return data


def _decoded(data: bytes, charset: str) -> str:
    """In the charset that the word names, else in UTF-8; what cannot be decoded is replaced."""
    named = codec_named(charset) or "utf-8"
    for codec, errors in ((named, "strict"), ("utf-8", "strict"), (named, "replace")):
        try:
            return data.decode(codec, errors)
        except UnicodeError:
            continue
    return data.decode("utf-8", "replace")
