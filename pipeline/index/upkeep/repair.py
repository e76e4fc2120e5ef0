"""Mend what can be derived from what is sound, and say how to get back the rest.

Postings, lengths and an approximate lexical index come from the durable lexical rows, an approximate FAISS index
from the fp16 rows beside it, rows, columns and words from the chunks. A rebuilt file with the bytes the manifest
names takes the damaged one's place. If it differs (another version of a library made it), or an older segment never
had it, the segment is copied with it under a new name and a new generation is published.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.index import files, store
from pipeline.index import manifest as manifests
from pipeline.index.choices import AUTO, DenseChoice
from pipeline.index.chunks import CHUNKS_FILE, ChunkStore
from pipeline.index.components.registry import components
from pipeline.index.components.rows import Place
from pipeline.index.manifest import Manifest, Publisher, SegmentEntry
from pipeline.index.segment import SEGMENTS, file_entry
from pipeline.index.upkeep.verify import damaged_files, segment_file

_FULL = "`pipeline build --full` encodes everything again; `pipeline rollback` if an earlier generation is sound"
_DROP = (
    "`pipeline repair --drop-damaged` takes the segment's documents out of the index, and the next "
    "`pipeline build` encodes those again and no others"
)


@dataclass(frozen=True, slots=True)
class Lost:
    """A damaged file that cannot be rebuilt, why it was found damaged, and what to do."""

    file: str
    reason: str
    cure: str


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was mended. `generation` is live now; `dropped`: documents taken out, for the next build to encode."""

    index: str
    generation: int
    published: bool
    rebuilt: tuple[str, ...]
    dropped: tuple[str, ...]
    lost: tuple[Lost, ...]


@dataclass(frozen=True, slots=True)
class _Mended:
    """One segment after the attempt. `lost`: its files that are still damaged, and why."""

    entry: SegmentEntry
    rebuilt: tuple[str, ...]
    lost: dict[str, str]


def repair(
    index: Path,
    choice: DenseChoice = AUTO,
    drop_damaged: bool = False,
    *,
    publish: Publisher = manifests.publish,
) -> RepairReport:
    """Rebuild damaged files of the live generation where possible.

    `choice`: how approximate indexes are configured. `drop_damaged`: publish a generation without
    the documents of segments that cannot be mended, so that the next build encodes them anew. `publish`: what makes
    it live.
    Raises `IndexNotFoundError`, `IndexLockedError`, `CorruptIndexError` for a damaged manifest, and
    `MissingDependencyError` where an approximate lexical index is damaged and its library is not installed.
    """
    with store.lock(index):
        live = manifests.load(index, manifests.latest_generation(index))
        files.sweep_temporaries(index / SEGMENTS)
        mended = [_mend(index, live, entry, choice) for entry in live.segments]
        rebuilt = [segment_file(m.entry, name) for m in mended for name in m.rebuilt]
        kept = [m.entry for m in mended if not m.lost]
        broken = [m for m in mended if m.lost]
        dropped: list[str] = []
        if drop_damaged and broken and kept:
            readable = [m for m in broken if CHUNKS_FILE not in m.lost]
            documents = _documents(index, readable)
            left = store.without_documents(index, kept, documents, live.generation + 1)
            if len(readable) == len(broken) and left:
                dropped, kept, broken = documents, left, []
        segments = [m.entry for m in mended] if broken else kept
        note = f"repair of generation {live.generation}"
        published = _next(index, live, segments, note, recount=bool(dropped))
        if published is not live:
            publish(index, published)
        lost = [
            Lost(segment_file(m.entry, name), reason, _FULL if CHUNKS_FILE in m.lost or not kept else _DROP)
            for m in broken
            for name, reason in m.lost.items()
        ]
        return RepairReport(
            str(index), published.generation, published is not live, tuple(rebuilt), tuple(dropped), tuple(lost)
        )


def _next(index: Path, live: Manifest, segments: Sequence[SegmentEntry], note: str, recount: bool) -> Manifest:
    if tuple(segments) == live.segments:
        return live
    fresh = dataclasses.replace(
        live,
        generation=live.generation + 1,
        created_at=store.now(),
        segments=tuple(segments),
        chunks=sum(entry.chunks - entry.deleted_chunks for entry in segments),
        note=note,
    )
    if recount:
        fresh = dataclasses.replace(fresh, documents=len(store.live_documents(index, fresh)))
    return fresh


def _mend(index: Path, live: Manifest, entry: SegmentEntry, choice: DenseChoice) -> _Mended:
    folder = index / SEGMENTS / entry.segment_id
    damaged = damaged_files(index, entry)
    for component in components():
        damaged |= component.unusable(Place(folder, entry, frozenset(damaged)), live)
    if not damaged or not folder.is_dir() or folder.is_symlink():
        return _Mended(entry, (), damaged)
    with files.scratch_folder(index / SEGMENTS) as scratch:
        tuned, misread = _rebuild(Place(folder, entry, frozenset(damaged)), scratch, choice)
        rebuilt = sorted(damaged.keys() & {path.name for path in scratch.iterdir()})
        recorded = {file.name: file.checksum for file in entry.files}
        differing = []
        for name in rebuilt:
            if files.checksum(scratch / name) == recorded.get(name) and name not in misread:
                files.replace_file(scratch / name, folder / name)
            else:
                differing.append(name)
        lost = {name: reason for name, reason in damaged.items() if name not in rebuilt}
        if differing and not lost:
            entry = _copy_with(index, tuned, scratch, differing)
        elif differing:
            rebuilt = [name for name in rebuilt if name not in differing]
            lost |= {name: damaged[name] for name in differing if entry.has(name)}  # what it never had is not lost
    return _Mended(entry, tuple(rebuilt), lost)


def _rebuild(place: Place, scratch: Path, choice: DenseChoice) -> tuple[SegmentEntry, set[str]]:
    """Write into `scratch` what of the damaged files can be derived.

    Returns the entry with how to search them, and the names of files that the old entry does not tell how to read.
    """
    entry, misread = place.entry, set[str]()
    for component in components():
        entry = component.rebuild(dataclasses.replace(place, entry=entry), scratch, choice)
        if not component.reads_alike(place.entry, entry):
            misread.update(component.file_names)
    return entry, misread


def _copy_with(index: Path, entry: SegmentEntry, scratch: Path, fresh: Sequence[str]) -> SegmentEntry:
    """A new segment: the sound files of an old one, and rebuilt ones in the place of the damaged."""
    digest = hashlib.blake2b(entry.segment_id.encode(), digest_size=16)
    for name in fresh:
        digest.update(f"{name}:{files.checksum(scratch / name)}".encode())
    segment_id = digest.hexdigest()
    deletes = entry.deletes.name if entry.deletes else None
    with files.new_folder(index / SEGMENTS / segment_id) as folder:
        old = {file.name for file in [*entry.files, *([entry.deletes] if entry.deletes else [])]}
        for name in sorted(old | set(fresh)):
            origin = scratch if name in fresh else index / SEGMENTS / entry.segment_id
            shutil.copyfile(origin / name, folder / name)
        entries = {path.name: file_entry(path) for path in sorted(folder.iterdir())}
    return dataclasses.replace(
        entry,
        segment_id=segment_id,
        files=tuple(file for name, file in entries.items() if name != deletes),
        deletes=entries[deletes] if deletes else None,
    )


def _documents(index: Path, broken: Iterable[_Mended]) -> list[str]:
    """Every document that has a live chunk in these segments; with damaged deletions, a chunk of any kind."""
    found: set[str] = set()
    for mended in broken:
        entry, folder = mended.entry, index / SEGMENTS / mended.entry.segment_id
        alive = np.ones(entry.chunks, np.bool_)
        if entry.deletes is not None and entry.deletes.name not in mended.lost:
            alive[files.read_array(folder / entry.deletes.name, np.uint32, 1)] = False
        found.update(ChunkStore(folder, entry.chunks).column("doc_id")[alive])
    return sorted(found)
