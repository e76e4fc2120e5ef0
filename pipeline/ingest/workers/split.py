"""A file of JSON lines as stretches of whole lines, so that several processes can read one file.

A stretch read by itself must give what it gives within its file. So a file is split only where its encoding has no
state, and a line end is a byte of its own: UTF-8, and encodings of one byte a character.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase

from pipeline.ingest.formats.decoding import SINGLE_BYTE, UnreadableError

STRETCH_BYTES = 1 << 18
_READ_BYTES = 1 << 18
_MOST_BYTES_A_CHARACTER = 4
_SPLITTABLE = frozenset({"utf-8", "utf-8-sig", "ascii", "latin-1", *SINGLE_BYTE})
_CANONICAL = frozenset(codecs.lookup(name).name for name in _SPLITTABLE)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some lines. `before`: how many stand before them. `encoding`: what these are to be decoded with."""

    before: int
    data: bytes
    encoding: str


def is_splittable(encoding: str) -> bool:
    """Whether lines of this encoding can be told apart by their bytes."""
    return codecs.lookup(encoding).name in _CANONICAL


def stretches(stream: BufferedIOBase, encoding: str, max_chars: int, wanted: int) -> Iterator[Stretch]:
    """The lines of a file in stretches of about `wanted` bytes, which end where a line does.

    Of a line that is too long to be read whatever it holds, only as much is given as shows it. Raises what reading
    the file does, behind the lines that were read before. Memory: a stretch, or the longest line that may be read.
    """
    before, pending, searched = 0, bytearray(), 0
    most = _MOST_BYTES_A_CHARACTER * (max_chars + 1)
    failure: Exception | None = None
    while True:
        block = b""
        try:
            block = stream.read1(_READ_BYTES)
        except (OSError, UnreadableError) as error:
            failure = error
        pending += block
        if block and len(pending) < wanted:
            continue
        end = _last_line_end(pending, searched) if block or failure else len(pending)
        is_half = pending.endswith(b"\r")  # a line end, maybe with a line feed in the next block
        if block and not end and len(pending) > most and not is_half:
            pending[most:] = _from_line_end(stream)
            end = _last_line_end(pending, most)
        searched = max(0, len(pending) - 1)
        if end:
            yield Stretch(before, bytes(pending[:end]), encoding)
            before += line_ends(pending[:end])
            encoding = "utf-8" if encoding == "utf-8-sig" else encoding
            del pending[:end]
            searched = 0
        if failure is not None:
            raise failure
        if not block:
            return


def line_ends(data: bytes | bytearray) -> int:
    """How many lines end in `data`: by a line feed, a carriage return, or both."""
    return data.count(b"\n") + (data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else 0)


def _last_line_end(data: bytearray, start: int) -> int:
    """The offset behind the last line that surely ends in `data`, 0 if none does from `start` on."""
    return max(data.rfind(b"\n", start), data.rfind(b"\r", start, max(start, len(data) - 1))) + 1


def _from_line_end(stream: BufferedIOBase) -> bytes:
    """What follows in the block in which the line ends that the stream is in; nothing if it never does."""
    while block := stream.read1(_READ_BYTES):
        ends = [place for place in (block.find(b"\n"), block.find(b"\r")) if place >= 0]
        if ends:
            return block[min(ends) :]
    return b""
