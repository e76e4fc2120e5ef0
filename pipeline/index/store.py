"""An index folder as a whole: what is live, how a change is committed, what can be thrown away."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.errors import CorruptIndexError, IndexNotFoundError, IndexStoreError
from pipeline.index import candidate, files, locks
from pipeline.index import manifest as manifests
from pipeline.index.cut.parts import cut_folder
from pipeline.index.live import LiveDocuments
from pipeline.index.manifest import MODELS, Manifest, Publisher, SegmentEntry, model_folder
from pipeline.index.segment import SEGMENTS, Segment, write_deletes
from pipeline.index.staging import STAGING

_LOCK = ".writer.lock"
_BESIDE = ("rejects", "reports")
"""Folders that builds write into beside the index proper."""

log = logging.getLogger(__name__)


@contextmanager
def lock(index: Path) -> Iterator[None]:
    """The single writer lock; removes what killed writers left half done. Raises `IndexLockedError`.

    If a `KeyboardInterrupt` comes after something was published, a note of it says so.
    """
    with locks.writer_lock(index / _LOCK):
        beside = [index / name for name in _BESIDE]
        staged = [index / STAGING, index / STAGING / "shards", cut_folder(index)]
        for folder in (index, index / SEGMENTS, *staged, *beside):
            files.sweep_temporaries(folder)
        before = manifests.live_number(index)
        try:
            yield
        except KeyboardInterrupt as stop:
            live = manifests.live_number(index)
            if live != before:
                stop.add_note(f"generation {live} is live; the next build removes what is not needed")
            raise


def live_manifest(index: Path) -> Manifest | None:
    """The live generation, or `None` for a folder without one.

    Raises `CorruptIndexError`, `IncompatibleIndexError`.
    """
    numbers = manifests.generations(index)
    return manifests.load(index, numbers[-1]) if numbers else None


def live_documents(index: Path, manifest: Manifest | None) -> LiveDocuments:
    """Every live document, by document id. Raises `CorruptIndexError`."""
    return LiveDocuments(index, manifest)


def known_segments(index: Path) -> dict[str, SegmentEntry]:
    """Every segment that a retained or staged generation names, without its deletions, by segment id."""
    staged = candidate.waiting(index)
    known = (
        {e.segment_id: dataclasses.replace(e, deletes=None, deleted_chunks=0) for e in staged.segments}
        if staged
        else {}
    )
    for number in manifests.generations(index):
        try:
            entries = manifests.load(index, number).segments
        except IndexStoreError:
            continue  # a full build is the cure for a damaged manifest, so it must not stop at one
        for entry in entries:
            known[entry.segment_id] = dataclasses.replace(entry, deletes=None, deleted_chunks=0)
    return known


def is_sound(index: Path, entry: SegmentEntry) -> bool:
    """Whether all files of a segment are there and undamaged."""
    try:
        Segment(index, entry)
    except CorruptIndexError:
        return False
    return True


def without_documents(
    index: Path, entries: Sequence[SegmentEntry], removed: Collection[str], generation: int
) -> list[SegmentEntry]:
    """The segments with all chunks of `removed` documents deleted, for `generation`; empty segments are dropped."""
    gone = set(removed)
    kept = []
    for entry in entries:
        segment = Segment(index, entry, verify=False)
        hit = np.fromiter(
            (doc_id in gone for doc_id in segment.store.column("doc_id")), np.bool_, count=entry.chunks
        )
        deleted = hit if segment.deleted is None else hit | segment.deleted
        if deleted.all():
            continue
        unchanged = int(deleted.sum()) == entry.deleted_chunks
        kept.append(entry if unchanged else write_deletes(index, entry, generation, deleted))
    return kept


def now() -> str:
    """The time as it stands in manifests: UTC, ISO 8601, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def rollback(
    index: Path,
    target: int | None = None,
    *,
    publish: Publisher = manifests.publish,
    follows: Manifest | None = None,
) -> Manifest:
    """Publish an earlier generation again as a new one: `target`, or the newest one there is before the live one.

    `publish`: what makes it live. `follows`: the live generation, where it is not in this folder.
    Raises `IndexNotFoundError` if there is none, `IndexLockedError`, `CorruptIndexError`.
    """
    manifests.latest_generation(index)  # the lock would make a folder where there is none
    with lock(index):
        live, *earlier = reversed(manifests.generations(index))
        if target is None and not earlier:
            raise IndexNotFoundError(
                f"{index}: no generation is left before the live one ({live}); "
                "`pipeline build` makes a new one, a higher `retain` keeps more"
            )
        number = earlier[0] if target is None else target
        old = manifests.load(index, number)
        for entry in old.segments:
            Segment(index, entry)
        try:
            follows = follows or manifests.load(index, live)
            live, shown_by = follows.generation, follows.access_field  # who may see what is not rolled back
        except IndexStoreError:
            shown_by = old.access_field
        restored = dataclasses.replace(
            old,
            generation=live + 1,
            created_at=now(),
            note=f"rollback to generation {number}",
            access_field=shown_by,
        )
        publish(index, restored)
        return restored


def collect_garbage(index: Path, retain: int) -> list[str]:
    """Remove manifests beyond the newest `retain`, and what no remaining one names. Call with the lock held.

    A staged generation that can still be published is kept. Returns the names of removed segments. A segment that a
    reader has open stays until a later collection.
    """
    numbers = manifests.generations(index)
    for number in numbers[:-retain]:
        manifests.manifest_path(index, number).unlink()
    if numbers[:-retain]:
        files.sync_folder(index)
    named: dict[str, set[str]] = {}
    models: set[Path] = set()
    for number in numbers[-retain:]:
        try:
            kept = manifests.load(index, number)
        except IndexStoreError as error:
            log.warning("garbage stays: what this generation names is unknown: %s", error)
            return []
        _name_files(named, kept.segments)
        models.add(model_folder(index, kept))
    staged = candidate.waiting(index)
    if staged is None:
        candidate.discard(index)
    else:
        _name_files(named, staged.segments)
        models.add(model_folder(index, staged))
    removed = []
    _collect_models(index, models)
    folder = index / SEGMENTS
    files.sweep_temporaries(index)
    files.sweep_temporaries(folder)
    for path in sorted(path for path in folder.glob("*") if path.is_dir() and not path.is_symlink()):
        if path.name not in named:
            if locks.remove_unheld_folder(path):
                removed.append(path.name)
            continue
        files.sweep_temporaries(path)
        for file in path.iterdir():
            if file.name not in named[path.name] and not file.is_dir():
                file.unlink()
    return removed


def _collect_models(index: Path, named: Collection[Path]) -> None:
    """Remove encoders that came with generations that are gone; one that a reader holds stays until later."""
    folder = index / MODELS
    files.sweep_temporaries(folder)
    for path in sorted(folder.glob("*")):
        if path not in named and path.is_dir() and not path.is_symlink():
            locks.remove_unheld_folder(path)


def _name_files(named: dict[str, set[str]], entries: Sequence[SegmentEntry]) -> None:
    """Add the files of segments to those that something names, by segment id."""
    for entry in entries:
        keep = named.setdefault(entry.segment_id, set())
        keep.update(file.name for file in entry.files)
        if entry.deletes is not None:
            keep.add(entry.deletes.name)
