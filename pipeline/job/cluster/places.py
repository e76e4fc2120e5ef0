"""Where workers find a plan and leave their shards: in a folder that all see, or through an object store."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pipeline.config import Config, SegmentSettings
from pipeline.encode import shard_plan
from pipeline.encode.shard_plan import PlannedShard, ShardPlan, Terms
from pipeline.errors import CorruptIndexError, EncoderError, IndexStoreError
from pipeline.index import files, staging
from pipeline.index.given.staged import given_file
from pipeline.models.contract import Encoder
from pipeline.progress import ProgressFactory
from pipeline.records import Fingerprint
from pipeline.remote.place import RemoteIndex
from pipeline.remote.push import check_writable
from pipeline.remote.staged import plans, shard_store
from pipeline.remote.staged.plans import StoredPlan
from pipeline.remote.staged.records import StagedFile

log = logging.getLogger(__name__)

_WORK = ".worker-"
_FORGOTTEN_SECONDS = 7 * 24 * 3600.0


class ShardPlace(Protocol):
    """A worker's view of a plan."""

    def check(self) -> None:
        """Make sure that texts can be read and shards left there. Raises `EncoderError`, `IndexStoreError`."""

    def plan(self) -> ShardPlan:
        """The plan. Raises `IndexStoreError` if there is none, `CorruptIndexError`."""

    def encode(self, terms: Terms, shard: PlannedShard, encoder: Encoder, settings: SegmentSettings) -> bool:
        """Encode a shard unless it is there; says whether it was. Raises as `shard_plan.encode_planned` does."""

    def checksum(self, shard: PlannedShard) -> str:
        """The checksum of a shard that is there (`staging.shard_checksum`). Raises `OSError`, `IndexStoreError`."""


@dataclass(frozen=True, slots=True)
class InFolder:
    """An index folder that all machines see."""

    index: Path

    def check(self) -> None:
        """Look whether what is staged can be seen."""
        folder = staging.ingest_folder(self.index)
        if not folder.is_dir():
            raise EncoderError(f"{folder}: is not there; a worker has to see the index under this path")

    def plan(self) -> ShardPlan:
        """The plan that stands there."""
        return shard_plan.load(self.index)

    def encode(self, terms: Terms, shard: PlannedShard, encoder: Encoder, settings: SegmentSettings) -> bool:
        """Encode a shard into its folder."""
        return shard_plan.encode_planned(self.index, terms, shard, encoder, settings)

    def checksum(self, shard: PlannedShard) -> str:
        """The checksum of the folder's record."""
        return staging.shard_checksum(staging.shard_folder(self.index, shard.key))


@dataclass(frozen=True)
class InStore:
    """A plan in an object store. A worker keeps a shard at a time on its disk, beside the local copy.

    `name`: of the plan; the latest if it is empty.
    """

    remote: RemoteIndex
    name: str = ""

    def check(self) -> None:
        """Try whether the store can be written, and read the plan."""
        self._stored  # noqa: B018

    @cached_property
    def _stored(self) -> StoredPlan:
        check_writable(self.remote)
        found = plans.load(self.remote, self.name) if self.name else plans.latest(self.remote)
        if found is None:
            raise plans.gone(self.remote)
        return found

    @cached_property
    def _files(self) -> dict[str, StagedFile]:
        return {file.path: file for file in self._stored.record.files}

    def plan(self) -> ShardPlan:
        """The plan, after a try whether the store can be written."""
        path = shard_plan.plan_path(Path()).as_posix()
        with _work_folder(self.remote) as folder:
            plans.fetch(self.remote, [self._named(path)], folder)
            return shard_plan.load(folder)

    def encode(self, terms: Terms, shard: PlannedShard, encoder: Encoder, settings: SegmentSettings) -> bool:
        """Fetch a shard's texts, encode and upload it."""
        if shard_store.stored(self.remote, shard.key) is not None:
            return False
        texts = Path(staging.STAGING) / shard.texts
        wanted = [self._named(texts.as_posix())]
        if (given := self._files.get(given_file(texts).as_posix())) is not None:
            wanted.append(given)
        with _work_folder(self.remote) as folder:
            plans.fetch(self.remote, wanted, folder)
            shard_plan.encode_planned(folder, terms, shard, encoder, settings)
            shard_store.store(self.remote, staging.shard_folder(folder, shard.key))
        return True

    def checksum(self, shard: PlannedShard) -> str:
        """The checksum that the marker has of the shard's record."""
        record = shard_store.stored(self.remote, shard.key)
        names = {file.path: file.checksum for file in record.files} if record else {}
        if staging.SHARD_SUMMARY not in names:
            raise IndexStoreError(f"{self.remote.url}: shard {shard.key} is not there any more")
        return names[staging.SHARD_SUMMARY]

    def _named(self, path: str) -> StagedFile:
        if path not in self._files:
            raise CorruptIndexError(f"{self.remote.url}: the plan lacks {path}; run `pipeline encode --plan` again")
        return self._files[path]


def place_of(config: Config) -> ShardPlace:
    """Where the workers of a configuration find the latest plan."""
    remote = RemoteIndex.configured(config)
    return InFolder(config.index_path) if remote is None else InStore(remote)


@contextmanager
def _work_folder(remote: RemoteIndex) -> Iterator[Path]:
    """A folder of this worker alone. What killed workers left goes after a week."""
    beside = remote.folder.parent
    files.make_folder(beside)
    for left in beside.glob(f"{_WORK}*"):
        try:
            if left.stat().st_mtime + _FORGOTTEN_SECONDS < time.time():
                files.remove_folder(left)
        except OSError:
            continue  # another worker did
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=beside) as name:
        yield Path(name)


def store_plan(
    remote: RemoteIndex,
    follows: int,
    shards: Sequence[PlannedShard],
    encoded: Sequence[Path],
    watch: ProgressFactory,
) -> StoredPlan:
    """Upload a plan that is saved in the local copy, what is staged, and the shards that were encoded before it."""
    folder = staging.ingest_folder(remote.folder)
    paths = {path for path in folder.iterdir() if path.is_file() and path.name != plans.OWN}
    for shard in shards:
        texts = remote.folder / staging.STAGING / shard.texts
        paths |= {path for path in (texts, given_file(texts)) if path.exists()}
    rejects = remote.folder / "rejects" / f"{follows + 1:08d}.jsonl"
    paths |= {rejects} if rejects.exists() else set()
    with ThreadPoolExecutor(remote.settings.transfers) as pool:
        list(pool.map(lambda shard: shard_store.store(remote, shard), encoded))
    keys = [*(shard.key for shard in shards), *(path.name for path in encoded)]
    return plans.store(remote, follows, sorted(paths), list(dict.fromkeys(keys)), watch)


def fetch_shards(
    remote: RemoteIndex, keys: Sequence[str], prints: Sequence[Fingerprint], watch: ProgressFactory
) -> dict[str, str]:
    """Bring stored shards into the local copy; for each that could not be brought, why."""

    def bring(key: str) -> str:
        place = staging.shard_folder(remote.folder, key)
        reason = "" if sound(place) else shard_store.bring(remote, place, sound)
        bar.update()
        return reason

    def sound(place: Path) -> bool:
        return staging.holds(place, prints)

    with (
        watch("fetch shards", len(keys), "shard") as bar,
        ThreadPoolExecutor(remote.settings.transfers) as pool,
    ):
        reasons = dict(zip(keys, pool.map(bring, keys), strict=True))
    return {key: reason for key, reason in reasons.items() if reason}


def bring_plan(remote: RemoteIndex, watch: ProgressFactory, required: bool) -> None:
    """Bring the plan's texts and shards into the local copy, for a commit there. Call with the lock held.

    Where nothing is staged here, what was staged for the plan is; so a commit may run on any machine. `required`:
    whether there has to be a plan. Raises `IndexStoreError` where something else is staged here.
    """
    try:
        plan = plans.own(remote) or plans.latest(remote)
        if plan is None:
            raise plans.gone(remote)
    except IndexStoreError as error:
        if required:
            raise
        log.info("nothing that others have encoded is looked for: %s", error)
        return
    if not (staging.ingest_folder(remote.folder) / staging.SUMMARY).exists():
        plans.bring(remote, plan)
    elif not plans.is_staged_here(remote, plan):
        if required:
            raise IndexStoreError(
                f"{remote.folder}: something else is staged here than what is planned in {remote.url}; run "
                "`pipeline encode --plan` here again, or `pipeline encode` to encode it here"
            )
        return
    prints = shard_plan.load(remote.folder).terms.prints
    fetch_shards(remote, plan.record.shards, prints, watch)
