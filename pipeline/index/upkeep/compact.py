"""Merge small segments and drop deleted chunks, by copying vectors and weights: nothing is encoded again.

Scores stay the same bits: rows are copied as stored, and a score depends on no segment.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.index import files, store
from pipeline.index import manifest as manifests
from pipeline.index.choices import AUTO, EXACT, DenseChoice, LexicalChoice
from pipeline.index.chunks import CHUNKS_FILE, chunk_blocks
from pipeline.index.components.registry import components, identities, settled
from pipeline.index.components.rows import SegmentShape, StoredRows
from pipeline.index.dense.component import DENSE
from pipeline.index.lexical import seismic_writer
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.manifest import LexicalRecall, Manifest, Publisher, SegmentEntry
from pipeline.index.multivector.component import MULTIVECTORS
from pipeline.index.segment import Segment, write_segment
from pipeline.progress import ProgressFactory, silent

Group = tuple[SegmentEntry, ...]
"""Segments to be merged into one."""

MAX_CHUNKS = 250_000
_FAN_IN = 8
_SMALLEST_TIER = 1024
_BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compaction did. `dropped_chunks`: deleted ones that are gone for good; bytes: of live segments;
    `lexical_recall`: `None` where the lexical leg is exact."""

    index: str
    generation: int
    published: bool
    segments_before: int
    segments_after: int
    dropped_chunks: int
    bytes_before: int
    bytes_after: int
    lexical_recall: LexicalRecall | None = None


@dataclass(frozen=True, slots=True)
class LiveRows:
    """The live rows of open segments, in order, as the content of a new one."""

    segments: tuple[Segment, ...]

    @property
    def count(self) -> int:
        """Number of live chunks."""
        return sum(segment.chunks - segment.entry.deleted_chunks for segment in self.segments)

    def chunk_tables(self) -> Iterator[pa.Table]:
        """Tables of `CHUNK_SCHEMA`."""
        for segment in self.segments:
            yield from _alive(segment, chunk_blocks(segment.folder / CHUNKS_FILE, _BLOCK_ROWS))

    def blocks(self, rows: StoredRows[Any]) -> Iterator[Any]:
        """Blocks of a component's rows."""
        for segment in self.segments:
            yield from _alive(segment, rows.blocks(segment.place))


def _mask(segment: Segment) -> npt.NDArray[np.bool_]:
    return np.ones(segment.chunks, np.bool_) if segment.deleted is None else ~segment.deleted


def _alive(segment: Segment, blocks: Iterable[Any]) -> Iterator[Any]:
    """The live rows of arrays, tables or record batches that hold the segment's rows in order."""
    alive = _mask(segment)
    done = 0
    for block in blocks:
        kept = alive[done : done + len(block)]
        done += len(kept)
        if isinstance(block, np.ndarray):
            yield block[kept]
            continue
        try:
            block.validate(full=True)
        except pa.ArrowException as error:
            raise files.damage(error, f"{segment.folder}: cannot be merged ({error})") from None
        yield block.filter(pa.array(kept))


def wants_compaction(manifest: Manifest, max_chunks: int = MAX_CHUNKS) -> list[Group]:
    """The groups of segments worth merging now; cheap enough to ask after every publish.

    Log-structured: eight segments of one size tier (×8 a tier) are merged into one, so that a chunk is copied
    log8(n) times in its life and an index has few segments. A segment more than a third of which is deleted is
    merged with its tier, or rewritten alone.
    """
    tiers: dict[int, list[SegmentEntry]] = {}
    for entry in manifest.segments:
        if live_chunks(entry) <= max_chunks // 2 or _mostly_deleted(entry):
            tiers.setdefault(_tier(live_chunks(entry)), []).append(entry)
    groups: list[Group] = []
    for _, entries in sorted(tiers.items()):
        if len(entries) >= _FAN_IN:
            groups += _packed(entries, max_chunks)
        else:
            groups += [(entry,) for entry in entries if _mostly_deleted(entry)]
    return groups


def everything(manifest: Manifest, max_chunks: int = MAX_CHUNKS) -> list[Group]:
    """The groups that leave no deleted chunk and as few segments as `max_chunks` allows."""
    entries = [e for e in manifest.segments if e.deleted_chunks or live_chunks(e) <= max_chunks // 2]
    return _packed(entries, max_chunks)


def live_chunks(entry: SegmentEntry) -> int:
    """Chunks of a segment that are not deleted."""
    return entry.chunks - entry.deleted_chunks


def _mostly_deleted(entry: SegmentEntry) -> bool:
    return 3 * entry.deleted_chunks > entry.chunks


def _tier(chunks: int) -> int:
    return max(0, math.ceil(math.log(max(chunks, 1) / _SMALLEST_TIER, _FAN_IN)))


def _packed(entries: Sequence[SegmentEntry], max_chunks: int) -> list[Group]:
    """Entries in order, cut where a group would exceed `max_chunks`; groups that change nothing are left out."""
    groups: list[list[SegmentEntry]] = [[]]
    held = 0
    for entry in entries:
        if groups[-1] and held + live_chunks(entry) > max_chunks:
            groups.append([])
            held = 0
        groups[-1].append(entry)
        held += live_chunks(entry)
    return [tuple(group) for group in groups if len(group) > 1 or (group and group[0].deleted_chunks)]


def compact(
    index: Path,
    choose: Callable[[Manifest], Sequence[Group]] = everything,
    *,
    dense: DenseChoice = AUTO,
    lexical: LexicalChoice = EXACT,
    retain: int | None = None,
    progress: ProgressFactory = silent,
    publish: Publisher = manifests.publish,
) -> CompactReport:
    """Merge the groups that `choose` names and publish the result; nothing is published if there are none.

    `dense`: FAISS type and recall of the merged segments; `lexical`: likewise. `retain`: collect garbage afterwards
    and keep so many generations. `publish`: what makes the new one live. Raises `IndexNotFoundError`,
    `IndexLockedError`, `CorruptIndexError` and what `seismic_writer.check` raises, before anything is published.
    """
    with store.lock(index):
        live = manifests.load(index, manifests.latest_generation(index))
        seismic_writer.check(lexical, live.lexical.kind)
        groups = choose(live)
        segments = merged(index, live, groups, dense, lexical, progress)
        after = live
        if groups:
            note = f"compaction: {len(live.segments)} segments into {len(segments)}"
            after = dataclasses.replace(
                live, generation=live.generation + 1, created_at=store.now(), segments=tuple(segments), note=note
            )
            publish(index, after)
            if retain is not None:
                store.collect_garbage(index, retain)
    return CompactReport(
        index=str(index),
        generation=after.generation,
        published=after is not live,
        segments_before=len(live.segments),
        segments_after=len(after.segments),
        dropped_chunks=sum(e.deleted_chunks for e in live.segments) - sum(e.deleted_chunks for e in after.segments),
        bytes_before=_size(live),
        bytes_after=_size(after),
        lexical_recall=manifests.lexical_recall(after),
    )


def merged(
    index: Path,
    manifest: Manifest,
    groups: Sequence[Group],
    dense: DenseChoice = AUTO,
    lexical: LexicalChoice = EXACT,
    progress: ProgressFactory = silent,
) -> list[SegmentEntry]:
    """The segments of a generation with every group merged into one. Call with the lock held.

    Checksums are compared before a byte is copied: damage must not get a checksum of its own.
    """
    known = store.known_segments(index) if groups else {}
    place = {entry.segment_id: group for group in groups for entry in group}
    result: list[SegmentEntry] = []
    with progress("compact", sum(live_chunks(e) for group in groups for e in group), "chunk") as bar:
        for entry in manifest.segments:
            group = place.get(entry.segment_id)
            if group is None:
                result.append(entry)
            elif entry == group[0]:
                source = LiveRows(tuple(Segment(index, member) for member in group))
                if source.count:
                    result.append(_merge(index, manifest, source, dense, lexical, known))
                bar.update(source.count)
    return result


def _merge(
    index: Path,
    manifest: Manifest,
    source: LiveRows,
    dense: DenseChoice,
    lexical: LexicalChoice,
    known: dict[str, SegmentEntry],
) -> SegmentEntry:
    has = {component.name: manifest.fingerprint(component.name) is not None for component in components()}
    wanted = SegmentShape(
        dimension=manifest.dimension if has[DENSE.name] else None,
        dense=dense,
        has_lexical=has[LEXICAL.name],
        has_multivectors=has[MULTIVECTORS.name],
        has_words=has[LEXICAL.name] and manifest.lexical.kind == "bm25",
        lexical=lexical,
    )
    shape = settled(wanted, source.count, manifest.chunks, [segment.place for segment in source.segments])
    identity = _segment_id(source.segments, " ".join(identities(shape)))
    entry = known.get(identity)
    if entry is not None and store.is_sound(index, entry):
        return entry
    return write_segment(index, identity, source, shape)


def _segment_id(segments: Iterable[Segment], kinds: str) -> str:
    digest = hashlib.blake2b(f"compact {kinds}".encode(), digest_size=16)
    for segment in segments:
        entry = segment.entry
        digest.update(f" {entry.segment_id} {entry.deletes.checksum if entry.deletes else '-'}".encode())
    return digest.hexdigest()


def _size(manifest: Manifest) -> int:
    return sum(file.size for entry in manifest.segments for file in entry.files)
