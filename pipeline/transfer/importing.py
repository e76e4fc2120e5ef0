"""Read an export into an index: a new one, or one that is there, where it becomes the next generation."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import CorruptIndexError, IncompatibleIndexError, IndexStoreError
from pipeline.index import files, locks, store
from pipeline.index import manifest as manifests
from pipeline.index.manifest import FileEntry, Manifest, SegmentEntry, model_folder
from pipeline.index.segment import SEGMENTS
from pipeline.index.upkeep.verify import damaged_files
from pipeline.transfer.contents import Contents
from pipeline.transfer.unpacking import unpack

RETAIN = 3


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import came to. `exported`: the number of the generation where it was exported.

    `published`: whether there is a new generation; there is none if the live one is the same. `with_model`:
    whether the encoder came with it.
    """

    index: str
    generation: int
    exported: int
    published: bool
    documents: int
    chunks: int
    with_model: bool


def import_index(source: Path, index: Path, *, new_encoder: bool = False, retain: int = RETAIN) -> ImportReport:
    """Read an export into `index` and publish it, under its own number or, if that is taken, the next.

    An index that is there stays as it is until the new generation is published; `new_encoder` lets it go on with
    another encoder or chunker. `retain`: how many generations to keep. Raises `IndexNotFoundError` for an export
    that is not there, `CorruptIndexError` for a damaged one, `IncompatibleIndexError`, `IndexLockedError`, and
    `IndexStoreError` where the disk has too little room. After any of them `index` is as it was, or not there.
    """
    if index.is_dir():
        return _into_existing(source, index, new_encoder, retain)
    locks.sweep_beside(index)
    try:
        with files.new_tree(index) as folder, locks.kept_from_sweeping(folder):
            contents, manifest = unpack(source, folder)
    except FileExistsError:
        raise IndexStoreError(
            f"{index}: somebody else made it meanwhile; import again to add a generation"
        ) from None
    return _report(index, manifest, manifest, True, contents.with_model)


def _into_existing(source: Path, index: Path, new_encoder: bool, retain: int) -> ImportReport:
    with store.lock(index):
        with files.scratch_folder(index) as scratch:
            contents, manifest = unpack(source, scratch)
            live = store.live_manifest(index)
            if live is not None and not new_encoder:
                _check_encoder(source, index, manifest, live)
            model = model_folder(index, manifest)
            if live is not None and _is_same(live, manifest) and _has_model(index, model, contents):
                return _report(index, live, manifest, False, contents.with_model)
            number = max(manifests.live_number(index) + 1, manifest.generation)
            segments = tuple(_placed(index, scratch, entry, number) for entry in manifest.segments)
            if contents.with_model and not _has_model(index, model, contents):
                files.remove_folder(model)
                files.adopt_folder(model_folder(scratch, manifest), model)
            fresh = dataclasses.replace(
                manifest,
                generation=number,
                segments=segments,
                note=f"import of generation {manifest.generation}",
            )
            manifests.publish(index, fresh)
        store.collect_garbage(index, retain)
        return _report(index, fresh, manifest, True, contents.with_model)


def _check_encoder(source: Path, index: Path, manifest: Manifest, live: Manifest) -> None:
    parts = manifest.fingerprints.keys() | live.fingerprints.keys()
    found = {part: manifest.fingerprint(part) for part in sorted(parts)}
    if differing := manifests.differences(live, found):
        raise IncompatibleIndexError(
            f"{source}: was built with other settings than {index} (index → export): {'; '.join(differing)}; "
            "import it into a new folder, or go on with it by `pipeline import --new-encoder`"
        )


def _is_same(live: Manifest, manifest: Manifest) -> bool:
    """Whether both hold the same segments with the same deletions, whatever they are called."""

    def contents(one: Manifest) -> object:
        segments = [
            (entry.files, entry.deletes and entry.deletes.checksum, entry.dense, entry.lexical)
            for entry in one.segments
        ]
        return segments, one.fingerprints, one.encoder, one.statistics

    return contents(live) == contents(manifest)


def _has_model(index: Path, model: Path, contents: Contents) -> bool:
    """Whether the index has the export's encoder already, undamaged, or the export brings none."""
    wanted = [file for file in contents.files if (index / file.path).is_relative_to(model)]
    try:
        return all(
            files.checksum(files.regular_file(index / file.path, file.size)) == file.checksum for file in wanted
        )
    except CorruptIndexError:
        return False


def _placed(index: Path, scratch: Path, entry: SegmentEntry, number: int) -> SegmentEntry:
    """Give an unpacked segment its place in the index, if the index has it not; returns the entry to publish."""
    fresh = scratch / SEGMENTS / entry.segment_id
    deletes = entry.deletes
    if deletes is not None:  # the index may have deletions of its own by that name
        renamed = FileEntry(f"deletes-{number:08d}.npy", deletes.size, deletes.checksum)
        entry = dataclasses.replace(entry, deletes=renamed)
    while (place := index / SEGMENTS / entry.segment_id).exists():
        if not damaged_files(index, dataclasses.replace(entry, deletes=None)):
            if deletes is not None and entry.deletes is not None:
                files.replace_file(fresh / deletes.name, place / entry.deletes.name)
            return entry
        digest = hashlib.blake2b(entry.segment_id.encode(), digest_size=16)
        digest.update("".join(file.checksum for file in entry.files).encode())
        entry = dataclasses.replace(entry, segment_id=digest.hexdigest())
    if deletes is not None and entry.deletes is not None and deletes.name != entry.deletes.name:
        files.replace_file(fresh / deletes.name, fresh / entry.deletes.name)
    files.adopt_folder(fresh, place)
    return entry


def _report(index: Path, live: Manifest, exported: Manifest, published: bool, with_model: bool) -> ImportReport:
    return ImportReport(
        os.fspath(index),
        live.generation,
        exported.generation,
        published,
        live.documents,
        live.chunks,
        with_model,
    )
