"""Source files, opened so that none is waited for: regular files, and no more of one than it held when opened."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.sources import NOT_REGULAR

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER_BYTES = 1 << 17


class RegularFile(io.FileIO):
    """The bytes of a regular file, up to the size that it had when it was opened."""

    def __init__(self, path: Path) -> None:
        """Raises `UnreadableError` if it is not regular, checked on what was opened, and `OSError`."""
        super().__init__(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        status = os.fstat(self.fileno())
        self.size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise UnreadableError(NOT_REGULAR)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """As of any raw stream. Raises `UnreadableError` if the file has no size and gives bytes all the same."""
        view = memoryview(buffer)
        found = super().readinto(view[: max(0, self.size - self.tell())] if self.size else view)
        if found is None:
            raise BlockingIOError(errno.EAGAIN, "gives nothing to read and does not end, as a pipe does")
        if found and not self.size:
            raise UnreadableError(
                "gives bytes although its size is 0, as files of /proc do: where it ends is unknown"
            )
        return found

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any raw stream; `FileIO` would pass `readinto` by."""
        return io.RawIOBase.read(self, -1 if size is None else size) or b""

    def readall(self) -> bytes:
        """As of any raw stream."""
        return io.RawIOBase.readall(self) or b""


def open_regular(path: Path) -> io.BufferedReader:
    """The file, buffered. Raises `UnreadableError`, `OSError`."""
    return io.BufferedReader(RegularFile(path), BUFFER_BYTES)
