"""Names in an archive that does not say what they are in: UTF-8, an old code page, or in ZIP cp437 by default."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Sequence

from pipeline.ingest.formats.decoding import MULTI_BYTE, UnreadableError, choose_encoding
from pipeline.ingest.formats.inside.members import readable_name

UTF8_FLAG = 0x800
BY_FORMAT = "cp437"
WESTERN = "cp850"
"""What Windows writes in Western Europe; letters that cp437 has are the same there."""
_DRAWN = re.compile("[\u2500-\u259f][^\x00-\x7f]|[^\x00-\x7f][\u2500-\u259f]")
"""Lines and blocks beside another character that is not ASCII, as no name has that is in cp437."""


def entry_names(entries: Sequence[zipfile.ZipInfo], encodings: Sequence[str] = ()) -> list[str]:
    """The names as paths below the archive. `encodings`: those of the settings, tried before detection."""
    unflagged = {
        entry.filename for entry in entries if not entry.flag_bits & UTF8_FLAG and not entry.filename.isascii()
    }
    decoded = _decoded(unflagged, encodings)
    return [
        readable_name(
            entry.filename if entry.flag_bits & UTF8_FLAG else decoded.get(entry.filename, entry.filename)
        )
        for entry in entries
    ]


def member_name(name: str, encodings: Sequence[str] = ()) -> str:
    """A name of a tar archive as a path below it, where bytes that are no UTF-8 came as surrogates.

    Each name is judged alone, as a stream has no list of them.
    """
    data = name.encode("utf-8", "surrogateescape")
    try:
        codec = choose_encoding(data, encodings)
    except UnreadableError:
        return readable_name(name)
    return readable_name(data.decode(codec, "replace") if codec in (*MULTI_BYTE, *encodings) else name)


def _decoded(names: Iterable[str], encodings: Sequence[str]) -> dict[str, str]:
    """What names that were read as cp437 are in truth; without those that are in it."""
    found: dict[str, str] = {}
    others: dict[str, bytes] = {}
    for name in sorted(names):
        try:
            data = name.encode(BY_FORMAT)
            found[name] = data.decode("utf-8")
        except UnicodeEncodeError:
            continue  # an extra field of the archive has named it
        except UnicodeDecodeError:
            others[name] = data
    codec = _codec(others, encodings) if others else BY_FORMAT
    for name, data in others.items():
        try:
            found[name] = data.decode(codec)
        except UnicodeDecodeError:
            continue
    return found


def _codec(names: dict[str, bytes], encodings: Sequence[str]) -> str:
    """The encoding of all names together: one of the settings, cp850, or a detected one of several bytes a letter.

    Those of one byte a character are not detected: none of them is the one that a system's archiver writes.
    """
    together = b"\n".join(names.values())
    try:
        codec = choose_encoding(together, encodings)
    except UnreadableError:
        codec = BY_FORMAT
    if codec in encodings:
        return codec
    if all(letter.isascii() or letter.isalpha() for letter in together.decode(WESTERN)):
        return WESTERN
    return codec if codec in MULTI_BYTE and any(map(_DRAWN.search, names)) else BY_FORMAT
