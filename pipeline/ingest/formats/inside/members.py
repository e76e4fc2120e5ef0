"""A file that is inside another: unpacked to a temporary file, handed to its reader, and gone again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.registry import read_file
from pipeline.ingest.guard import Found, Guard, refused
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.suffixes import SUFFIXES, entry_suffix, is_package_mark
from pipeline.records import Document, MetadataValue

DEEPEST = 4
"""Archives in archives are read so deep."""
RATIO = 200
"""What unpacks to more than so many times its packed size is a bomb, …"""
FREE_BYTES = 100_000_000
"""… unless it is no more than this in all."""
BLOCK = 1 << 20
INSIDE = "!"
"""Stands between the name of a file and that of a file in it."""


@dataclass(slots=True)
class Allowance:
    """What the files in one file may unpack to, all together and with what is in them in turn."""

    most: int
    taken: int = 0
    outer: Allowance | None = None
    depth: int = 1

    @classmethod
    def of(cls, packed: int, settings: IngestSettings) -> Allowance:
        """For a file of so many packed bytes, on the account of the one that it is in."""
        ratio = max(FREE_BYTES, packed * RATIO)
        most = min(ratio, int(settings.max_archive_mb * 1e6))
        return cls(most, outer=_within, depth=_within.depth + 1 if _within else 1)

    def take(self, size: int) -> None:
        """Raises `UnreadableError` if there is no more."""
        self.taken += size
        if self.taken > self.most:
            raise UnreadableError(
                f"would unpack to more than {self.most / 1e6:.0f} MB (ingest.max_archive_mb, and {RATIO} times the "
                "packed size); unpack it yourself if it is sound"
            )
        if self.outer is not None:
            self.outer.take(size)


_within: Allowance | None = None
"""That of the file which is being read: what is in it counts as well."""


class PlacedError(UnreadableError):
    """A reason that names the member and the line in it."""


class Members:
    """The documents of the files inside a file, numbered from 1 in the order in which they are found."""

    def __init__(self, outer: SourceFile, settings: IngestSettings, allowance: Allowance, suffix: str = "") -> None:
        """`suffix`: that of a member without a name, which stands for the file itself."""
        self._allowance, self._suffix = allowance, suffix
        self._outer, self._settings = outer, settings
        self._number = 0
        self._guard = Guard(None)

    def read(
        self,
        member: str,
        copy: Callable[[IO[bytes]], None],
        metadata: Mapping[str, MetadataValue] | None = None,
        damage: tuple[type[Exception], ...] = (),
    ) -> Iterator[Found]:
        """The documents of one member. `copy` writes its bytes; `metadata` is added to that of each document.

        What goes wrong with it is its own rejection, what `copy` raises if it is `damage`; else nothing behind the
        member can be read.
        """
        global _within
        if self._allowance.depth > DEEPEST:
            yield self.refuse(member, f"more than {DEEPEST} files inside of each other are not read")
            return
        _within = self._allowance
        try:
            with tempfile.TemporaryDirectory(prefix="hybrid-pipeline-") as folder:
                path = Path(folder) / f"member{entry_suffix(member) or self._suffix}"
                try:
                    with path.open("wb") as target:
                        copy(target)
                except damage as error:
                    yield self.refuse(member, f"cannot be unpacked: {first_line(error)}")
                    return
                yield from self._documents(member, path, metadata or {})
        finally:
            _within = self._allowance.outer

    def refuse(self, member: str, reason: str) -> Found:
        """A member that is not read."""
        self._number += 1
        return refused(self._number, PlacedError(f"{member}: {reason}" if member else reason))

    def _documents(self, member: str, path: Path, metadata: Mapping[str, MetadataValue]) -> Iterator[Found]:
        outer = self._outer
        name, label = (f"{name}{INSIDE}{member}" if member else name for name in (outer.name, outer.label))
        found = read_file(SourceFile(os.fspath(path), name, label, outer.source), self._settings)
        is_empty = True
        while True:
            try:
                one = self._guard.run(lambda: label, lambda: next(found, None))
            except UnreadableError as error:
                yield self.refuse(member, str(error))
                return
            if one is None:
                if is_empty:
                    yield self.refuse(member, "empty")
                return
            is_empty = False
            self._number += 1
            yield Found(self._number, self._built(member, one, metadata))

    def _built(self, member: str, found: Found, metadata: Mapping[str, MetadataValue]) -> Callable[[], Document]:
        place = f"{member or 'line'}{':' if member else ' '}{found.line}" if found.line else member
        before = f"{place}: " if place else ""

        def build() -> Document:
            try:
                document = self._guard.run(lambda: f"{self._outer.label}{INSIDE}{place}", found.build)
            except PlacedError as error:
                raise PlacedError(f"{member}: {error}" if member else str(error)) from error
            except UnreadableError as error:
                raise PlacedError(f"{before}{error}") from error
            if not document.text.strip():
                raise PlacedError(f"{before}empty")
            return replace(document, metadata={**metadata, **document.metadata}) if metadata else document

        return build


def copy_bounded(source: IO[bytes], target: IO[bytes], allowance: Allowance) -> None:
    """Copy block by block. Raises `UnreadableError` if that is more than is allowed."""
    while block := source.read(BLOCK):
        allowance.take(len(block))
        target.write(block)


def is_read(member: str, size: int | None = None) -> bool:
    """Whether there is a reader for a member of this name, it is not hidden, and no package's empty `__init__.py`.

    `size`: in bytes, where it is known.
    """
    parts = member.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and entry_suffix(member) in SUFFIXES and not is_package_mark(member, size)


def readable_name(name: str) -> str:
    """A member's name as a path below the outer file; empty if it has none that could be shown."""
    with suppress(UnicodeError):
        name = name.encode("utf-8", "replace").decode("utf-8")
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join("".join(c if c.isprintable() else "\ufffd" for c in part) for part in parts)
