"""Is an index what its manifest says? Every problem is listed with its file and reason, never just the first."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import CorruptIndexError, IncompatibleIndexError
from pipeline.index import candidate, files
from pipeline.index import manifest as manifests
from pipeline.index.chunks import CHUNKS_FILE
from pipeline.index.components.registry import components
from pipeline.index.manifest import FileEntry, Manifest, SegmentEntry
from pipeline.index.segment import SEGMENTS
from pipeline.index.staging import STAGING
from pipeline.index.upkeep import consistency


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one file. `file`: relative to the index folder."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of one generation found. `files` and `bytes` count what was read; `deep`: contents compared."""

    index: str
    generation: int
    deep: bool
    files: int
    bytes: int
    chunks: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(index: Path, generation: int | Literal["staged"] | None = None, deep: bool = False) -> VerifyReport:
    """Check a generation, by default the live one: presence, size and checksum of every file.

    `staged`: the one that the gate refused.

    `deep` also opens the files and compares their contents with each other; a damaged file is not opened. Memory:
    one block of rows, one tile of postings, and the ids of all live chunks. Raises `IndexNotFoundError`.
    """
    folder = index
    if generation == "staged":
        folder, generation = index / STAGING, candidate.number(index)
    elif generation is None:
        generation = manifests.latest_generation(index)
    path = manifests.manifest_path(folder, generation)
    name = str(path.relative_to(index))
    problems: list[Problem] = []
    try:
        manifest = manifests.load(folder, generation)
    except (CorruptIndexError, IncompatibleIndexError) as error:
        problem = Problem(name, str(error).removeprefix(f"{path}: "))
        return VerifyReport(str(index), generation, deep, 1, 0, 0, (problem,))
    read = size = 0
    sound: dict[str, set[str]] = {}
    for entry in manifest.segments:
        damaged = damaged_files(index, entry)
        problems += [Problem(segment_file(entry, name), reason) for name, reason in damaged.items()]
        problems += [
            Problem(segment_file(entry, name), "is not in the manifest") for name in _absent(manifest, entry)
        ]
        every = entry_files(entry)
        sound[entry.segment_id] = {file.name for file in every} - damaged.keys()
        read += len(every)
        size += sum(file.size for file in every)
    if deep:
        problems += [Problem(file, reason) for file, reason in consistency.check(index, manifest, name, sound)]
    return VerifyReport(str(index), generation, deep, read, size, manifest.chunks, tuple(problems))


def entry_files(entry: SegmentEntry) -> list[FileEntry]:
    """Every file of a segment that a manifest names, its deletions included."""
    return [*entry.files, *([entry.deletes] if entry.deletes else [])]


def segment_file(entry: SegmentEntry, name: str) -> str:
    """A file of a segment, relative to the index folder."""
    return f"{SEGMENTS}/{entry.segment_id}/{name}"


def damaged_files(index: Path, entry: SegmentEntry) -> dict[str, str]:
    """The files of a segment that are not what the manifest says, and why, by name."""
    folder = index / SEGMENTS / entry.segment_id
    if folder.is_symlink():
        return {file.name: "stands in a folder that is a symlink" for file in entry_files(entry)}
    return {file.name: reason for file in entry_files(entry) if (reason := _damage(folder / file.name, file))}


def _damage(path: Path, entry: FileEntry) -> str | None:
    try:
        files.regular_file(path, entry.size)
        if files.checksum(path) != entry.checksum:
            return "its checksum does not match the manifest"
    except CorruptIndexError as error:
        return str(error).removeprefix(f"{path}: ").split(";")[0]
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None


def _absent(manifest: Manifest, entry: SegmentEntry) -> Iterator[str]:
    """Files that a segment of this generation cannot do without and that its entry does not name."""
    names: Collection[str] = {file.name for file in entry.files}
    needed = [CHUNKS_FILE, *(name for part in components() for name in part.needed(manifest, entry))]
    return (name for name in needed if name not in names)
