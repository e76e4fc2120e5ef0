"""Contents by blob id, all through one process of git."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from types import TracebackType

from pipeline.errors import SourceError
from pipeline.ingest.fetching.git.command import Git, Running

BLOCK = 1 << 20
SHA1_CHARS = 40
LFS_FIRST_LINE = b"version https://git-lfs.github.com/spec/"
LFS_MOST_BYTES = 1024
"""A pointer is smaller, by its specification."""


class Blobs:
    """Reads blobs one after the other. Close it, or use it as a context."""

    def __init__(self, git: Git) -> None:
        self._git, self._stack = git, contextlib.ExitStack()
        self._running: Running | None = None

    def __enter__(self) -> Blobs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._running = None

    def blocks(self, blob: str) -> Iterator[bytes]:
        """The bytes of a blob, in blocks, to be taken to the end before the next one. Raises `SourceError`."""
        running = self._start()
        try:
            running.input.write(blob.encode("ascii") + b"\n")
            running.input.flush()
            size = self._size(blob, running.output.readline())
            digest = hashlib.new(
                "sha1" if len(blob) == SHA1_CHARS else "sha256", b"blob %d\0" % size, usedforsecurity=False
            )
            while size:
                block = running.output.read(min(BLOCK, size))
                if not block:
                    raise self._broken(blob)
                size -= len(block)
                digest.update(block)
                yield block
            running.output.read(1)  # a line ends
            if digest.hexdigest() != blob:
                raise self._broken(blob)
        except OSError:
            raise self._broken(blob) from None

    def content(self, blob: str) -> bytes:
        """All bytes of a blob that is known to be small."""
        return b"".join(self.blocks(blob))

    def _start(self) -> Running:
        if self._running is None:
            self._running = self._stack.enter_context(self._git.start("cat-file", "--batch", is_fed=True))
        return self._running

    def _size(self, blob: str, header: bytes) -> int:
        parts = header.split()
        if len(parts) != 3 or parts[1] != b"blob":
            raise self._broken(blob)
        return int(parts[2])

    def _broken(self, blob: str) -> SourceError:
        return SourceError(
            f"{self._git.name}: the blob {blob} cannot be read; the repository is damaged or a partial clone: "
            "`git fsck` tells, a new clone mends it"
        )


def is_lfs_pointer(content: bytes) -> bool:
    """Whether a file only names a content that Git LFS keeps elsewhere."""
    return len(content) < LFS_MOST_BYTES and content.startswith(LFS_FIRST_LINE)
