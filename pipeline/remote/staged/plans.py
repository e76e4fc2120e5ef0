"""Plans in the object store: the staged files first, then the plan, then its name where workers look."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import xxhash

from pipeline.errors import CorruptIndexError, IndexStoreError, ObjectStoreError
from pipeline.index import files, staging
from pipeline.progress import ProgressFactory, silent
from pipeline.remote.download import VanishedError, Wanted, download
from pipeline.remote.layout import LATEST_PLAN, plan_key, staged_key
from pipeline.remote.place import RemoteIndex
from pipeline.remote.push import check_writable
from pipeline.remote.staged.records import PlanRecord, StagedFile, from_bytes, to_bytes

log = logging.getLogger(__name__)

OWN = "stored-plan"


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan and its name, which says what is in it."""

    name: str
    record: PlanRecord


def store(
    remote: RemoteIndex,
    follows: int,
    paths: Sequence[Path],
    shards: Sequence[str],
    progress: ProgressFactory = silent,
) -> StoredPlan:
    """Upload the staged files of the local copy that the store lacks, then the plan. Call with the lock held.

    Raises `ObjectStoreError`.
    """
    now = check_writable(remote)
    old = now - timedelta(hours=remote.settings.keep_hours) / 2
    record = PlanRecord(follows, tuple(StagedFile.of(path, remote.folder) for path in paths), tuple(shards))
    with (
        progress("upload", sum(one.size for one in record.files), "byte") as bar,
        ThreadPoolExecutor(remote.settings.transfers) as pool,
    ):
        for done in pool.map(lambda file: _upload(remote, file, old), record.files):
            bar.update(done)
    data = to_bytes(record)
    name = xxhash.xxh3_128_hexdigest(data)
    if not remote.objects.create(plan_key(name), data):
        remote.objects.write(plan_key(name), data)  # what is there under this name is damaged
    remote.objects.write(LATEST_PLAN, name.encode())
    _remember(remote.folder, name)
    return StoredPlan(name, record)


def _upload(remote: RemoteIndex, file: StagedFile, old: datetime) -> int:
    """Write a file that is not there, or so old that a collection may remove it; its size."""
    key = staged_key(file.checksum, file.path)
    there = remote.objects.head(key)
    if there is None or there.size != file.size or there.written <= old:
        remote.objects.write(key, remote.folder / file.path)
    return file.size


def latest(remote: RemoteIndex) -> StoredPlan | None:
    """The plan that was stored last; `None` where none is. Raises `CorruptIndexError`, `ObjectStoreError`."""
    name = remote.objects.read(LATEST_PLAN)
    return None if name is None else load(remote, name.decode("ascii", "replace"))


def load(remote: RemoteIndex, name: str) -> StoredPlan:
    """A plan by its name. Raises `IndexStoreError` if it is gone, `CorruptIndexError`, `ObjectStoreError`."""
    if not (name.isascii() and name.isalnum()):
        raise CorruptIndexError(f"{remote.url}: {LATEST_PLAN}: is damaged; run `pipeline encode --plan` again")
    data = remote.objects.read(plan_key(name))
    if data is None:
        raise gone(remote)
    where = f"{remote.url}: {plan_key(name)}"
    if xxhash.xxh3_128_hexdigest(data) != name:
        raise CorruptIndexError(f"{where}: is damaged; run `pipeline encode --plan` again")
    return StoredPlan(name, from_bytes(data, PlanRecord, where))


def gone(remote: RemoteIndex) -> IndexStoreError:
    """The error where no plan is stored, or is no more."""
    return IndexStoreError(
        f"{remote.url}: no encoding is planned there, or it is published already; run `pipeline ingest` and "
        "`pipeline encode --plan` first"
    )


def fetch(remote: RemoteIndex, wanted: Sequence[StagedFile], folder: Path) -> None:
    """Bring staged files below `folder`. Raises `CorruptIndexError`, `IndexStoreError` if one is gone.

    An object that holds something else than it should is removed, so that the next plan uploads it again.
    """
    for file in wanted:
        key, path = staged_key(file.checksum, file.path), folder / file.path
        try:
            one = Wanted(key, file.size, file.checksum, path)
            download(remote.objects.read_range, [one], remote.settings.transfers, lambda size: None)
        except VanishedError:
            raise IndexStoreError(
                f"{remote.url}: {key}: gone, though it is planned; was the index built or planned again meanwhile?"
            ) from None
        except CorruptIndexError:
            remote.objects.delete(key)
            raise CorruptIndexError(
                f"{remote.url}: {key}: is not what was planned; run `pipeline encode --plan` again, which uploads "
                "it anew"
            ) from None


def _remember(folder: Path, name: str) -> None:
    files.write_file(staging.ingest_folder(folder) / OWN, name.encode())


def own(remote: RemoteIndex) -> StoredPlan | None:
    """The plan of what is staged in the local copy; `None` if it was never stored. Raises as `load` does."""
    try:
        name = (staging.ingest_folder(remote.folder) / OWN).read_text("ascii")
    except (OSError, ValueError):
        return None
    return load(remote, name)


def bring(remote: RemoteIndex, plan: StoredPlan) -> None:
    """Stage in the local copy what is staged for a plan, the summary last. Call with the lock held.

    Raises what `fetch` raises.
    """
    folder, summary = staging.ingest_folder(remote.folder), f"staging/ingest/{staging.SUMMARY}"
    files.make_folder(folder)
    fetch(remote, sorted(plan.record.files, key=lambda file: file.path == summary), remote.folder)
    _remember(remote.folder, plan.name)


def is_staged_here(remote: RemoteIndex, plan: StoredPlan) -> bool:
    """Whether what is staged in the local copy is what this plan is of."""
    path = staging.ingest_folder(remote.folder) / staging.SUMMARY
    summary = next((one for one in plan.record.files if one.path.endswith(f"/{staging.SUMMARY}")), None)
    return summary is not None and path.exists() and files.checksum(path) == summary.checksum


def readable(remote: RemoteIndex, names: Sequence[str]) -> dict[str, StoredPlan] | None:
    """These plans by name, without those that are gone; `None` if one cannot be read."""
    found = {}
    for name in names:
        try:
            found[name] = load(remote, name)
        except ObjectStoreError:
            raise
        except CorruptIndexError as error:
            log.warning("nothing that is staged is removed: %s", error)
            return None
        except IndexStoreError:
            continue
    return found
