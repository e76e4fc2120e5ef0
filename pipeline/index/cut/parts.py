"""The parts of an ingest that goes on, each durable as soon as it is full, or when it takes long.

    staging/cut/<chunker>-0000-00000-<checksum>.parquet          by ingest, and by number in it
    staging/cut/<chunker>-0000-00000-<checksum>.so-far.parquet   one that is not full, up to the end of a document
    staging/cut/<chunker>-0000-00000-<checksum>.files.parquet    what files looked like whose documents end in it

Parts move into the staged ingest when it is complete. Until then they are what an interrupted one leaves to the
next (`before.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import xxhash

from pipeline.index import files
from pipeline.index.chunks import write_table
from pipeline.index.manifest import FileEntry
from pipeline.index.schemas import CHUNK_SCHEMA
from pipeline.index.staging import STAGING
from pipeline.records import Fingerprint

_NAME = re.compile(r"([0-9a-f]+)-(\d{4,})-(\d{5,})-([0-9a-f]{32})(\.files|\.so-far)?\.parquet")
_FILES, _SO_FAR = ".files", ".so-far"


@dataclass(frozen=True, slots=True)
class CutPart:
    """A part as its name tells of it, or what it says of files. `chunker`: the digest of its fingerprint."""

    path: Path
    chunker: str
    ingest: int
    number: int
    checksum: str
    kind: str = ""

    @property
    def is_so_far(self) -> bool:
        """Whether it was not full yet, and ends where a document does."""
        return self.kind == _SO_FAR

    @property
    def is_sound(self) -> bool:
        """Whether the file holds what was written. Raises `OSError`."""
        return files.checksum(self.path) == self.checksum


PART_GROUP_ROWS = 4096


class CutParts:
    """Where one ingest keeps its parts."""

    def __init__(self, index: Path, chunker: Fingerprint) -> None:
        """`index`: whose staging area they are in."""
        self._folder, self._chunker = cut_folder(index), chunker.digest
        self._ingest = 1 + max((part.ingest for part in cut_parts(index)), default=-1)
        self._paths: dict[int, Path] = {}
        self._so_far: Path | None = None

    def keep(self, number: int, table: pa.Table, looks: pa.Table | None = None, so_far: bool = False) -> None:
        """Write a part of chunks durably. `looks`: of files whose last documents are in it or in one before it.

        `so_far`: it is not full, and ends where a document does; the next that is kept takes its place.
        """
        if looks is not None and len(looks):
            self._write(number, looks, looks.schema, _FILES)
        path = self._write(number, table, CHUNK_SCHEMA, _SO_FAR if so_far else "")
        if self._so_far is not None and self._so_far != path:
            self._so_far.unlink()
        self._so_far = path if so_far else None
        if not so_far:
            self._paths[number] = path

    def _write(self, number: int, table: pa.Table, schema: pa.Schema, kind: str = "") -> Path:
        sink = pa.BufferOutputStream()
        write_table(sink, [table], schema, group_rows=PART_GROUP_ROWS)
        data = sink.getvalue().to_pybytes()
        checksum = xxhash.xxh3_128_hexdigest(data)
        path = self._folder / f"{self._chunker}-{self._ingest:04d}-{number:05d}-{checksum}{kind}.parquet"
        files.write_file(path, data)
        return path

    def move(self, folder: Path) -> list[FileEntry]:
        """Move all parts into a folder, by the names that a staged ingest gives them."""
        entries = []
        for number, path in sorted(self._paths.items()):
            checksum = path.stem.rsplit("-", 1)[1]
            entries.append(FileEntry(part_name(number), path.stat().st_size, checksum))
            files.move_file(path, folder / part_name(number))
        return entries


def part_name(number: int) -> str:
    """What a part of a staged ingest is called."""
    return f"part-{number:05d}.parquet"


def cut_folder(index: Path) -> Path:
    """Where the parts of an ingest stand that is not complete."""
    return index / STAGING / "cut"


def cut_parts(index: Path, of_files: bool = False) -> list[CutPart]:
    """All parts there, by ingest and number, of equals full ones first; with `of_files`, what was kept of files."""
    names = (_NAME.fullmatch(path.name) for path in cut_folder(index).glob("*.parquet"))
    parts = (
        CutPart(cut_folder(index) / found[0], found[1], int(found[2]), int(found[3]), found[4], found[5] or "")
        for found in names
        if found is not None and (found[5] == _FILES) == of_files
    )
    return sorted(parts, key=lambda part: (part.ingest, part.number, part.kind))


def forget(index: Path) -> None:
    """Remove all of them."""
    files.remove_folder(cut_folder(index))
