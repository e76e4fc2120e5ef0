"""The archive of an export: a tar of plain files, compressed by Zstandard, of which nothing is believed.

Headers are read one by one: libraries that read archives follow links, names and sizes that a hostile archive makes
up. Here a member has to be the plain file that is expected next, of the size that is expected.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import pyarrow as pa

from pipeline.errors import IndexNotFoundError
from pipeline.transfer.contents import LARGEST_RECORD, RECORD, Contents, ExportedFile, damaged, from_bytes

SUFFIX = ".tar.zst"
BLOCK = 1 << 20
_UNIT = tarfile.BLOCKSIZE
_LONGEST_END = 1 << 20
"""Zeros that may follow the last member; programs fill up their last block."""


class ArchiveWriter:
    """Writes members one after the other. The same members give the same bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._out = pa.CompressedOutputStream(stream, "zstd")

    def add(self, path: str, size: int, blocks: Iterator[bytes]) -> None:
        """Add a plain file. `blocks` must come to `size` bytes."""
        member = tarfile.TarInfo(path)
        member.size, member.mode = size, 0o644
        self._out.write(member.tobuf(tarfile.GNU_FORMAT))
        for block in blocks:
            self._out.write(block)
        self._out.write(bytes(-size % _UNIT))

    def close(self) -> None:
        """Write the end of the archive."""
        self._out.write(bytes(2 * _UNIT))
        self._out.close()


class ArchiveReader:
    """An archive from its beginning. Raises `IndexNotFoundError` where there is none, `CorruptIndexError`,
    `IncompatibleIndexError`."""

    def __init__(self, path: Path) -> None:
        self._origin = str(path)
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise IndexNotFoundError(
                f"{path}: there is no archive that can be read ({error.strerror}); "
                "name one that `pipeline export` wrote"
            ) from None
        self._stream = pa.CompressedInputStream(self._file, "zstd")

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def contents(self) -> Contents:
        """The record, which is the first member."""
        size = self._header(RECORD)
        if size > LARGEST_RECORD:
            raise damaged(self._origin, f"its record would have {size:,} bytes")
        return from_bytes(b"".join(self._bytes(RECORD, size)), self._origin)

    def blocks(self, file: ExportedFile) -> Iterator[bytes]:
        """The bytes of the next member, which must be this file."""
        size = self._header(file.path)
        if size != file.size:
            raise damaged(self._origin, f"{file.path} has {size:,} bytes where its record says {file.size:,}")
        yield from self._bytes(file.path, size)

    def finish(self) -> None:
        """Make sure that nothing follows the last member."""
        if self._read(_UNIT, "its end") != bytes(_UNIT):
            raise damaged(self._origin, "holds more than its record names")
        left = _LONGEST_END
        while left > 0 and (more := self._some(_UNIT)):
            if more.count(0) != len(more):
                raise damaged(self._origin, "something follows its end")
            left -= len(more)
        if left <= 0:
            raise damaged(self._origin, "its end goes on and on")

    def _header(self, path: str) -> int:
        """Size of the next member, which must be a plain file of this path."""
        block = self._read(_UNIT, path)
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise damaged(self._origin, f"is no archive, or ends, where {path} should begin") from None
        if member.size < 0:
            raise damaged(self._origin, f"says that {path} has {member.size} bytes")
        if member.name != path or member.type != tarfile.REGTYPE:
            what = "a link or no plain file" if member.name == path else f"{member.name[:100]!r}"
            raise damaged(self._origin, f"has {what} where {path} should be")
        return member.size

    def _bytes(self, path: str, size: int) -> Iterator[bytes]:
        left = size
        while left:
            block = self._read(min(BLOCK, left), path)
            left -= len(block)
            yield block
        if padding := -size % _UNIT:
            self._read(padding, path)

    def _read(self, count: int, path: str) -> bytes:
        block = self._some(count)
        if len(block) != count:
            raise damaged(self._origin, f"is cut off in {path}")
        return block

    def _some(self, count: int) -> bytes:
        try:
            found: bytes = self._stream.read(count)
        except OSError as error:
            if error.errno is not None:  # the disk's, not Zstandard's
                raise
            reason = " ".join(str(error).split())
            raise damaged(self._origin, f"cannot be decompressed ({reason})") from None
        return found
