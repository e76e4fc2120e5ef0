"""Shards given to workers who see no folder of this machine: texts and shards go through the object store.

What is there already is fetched first, so a build goes on after any other that died, on whichever machine. The
plan is stored before workers start, and each shard is fetched and compared when its worker says that it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.encode import shard_plan
from pipeline.encode.shard_plan import ShardPlan, Terms, planned_shard
from pipeline.index import staging
from pipeline.job.cluster import places
from pipeline.job.cluster.spread import Limits, Spread
from pipeline.job.cluster.workers import Trouble, Workers, WorkerShare
from pipeline.progress import ProgressFactory
from pipeline.remote.place import RemoteIndex
from pipeline.remote.staged import shard_store


class SpreadThroughStore:
    """Does what `Spread` does, by way of an object store. One use only.

    `workers`: makes them, given the name of the stored plan. `follows`: the generation that was live.
    """

    def __init__(
        self,
        remote: RemoteIndex,
        workers: Callable[[str], Workers],
        terms: Terms,
        limits: Limits,
        follows: int,
        progress: ProgressFactory,
    ) -> None:
        self._remote, self._workers, self._terms = remote, workers, terms
        self._limits, self._follows, self._progress = limits, follows, progress
        self._spread: Spread | None = None

    @property
    def shares(self) -> list[WorkerShare]:
        """What each worker did, by name."""
        return self._spread.shares if self._spread else []

    @property
    def troubles(self) -> list[Trouble]:
        """What went wrong, the first of it."""
        return self._spread.troubles if self._spread else []

    @property
    def trouble_count(self) -> int:
        """How often something went wrong."""
        return self._spread.trouble_count if self._spread else 0

    def encode(self, tasks: Sequence[tuple[Path, Path]]) -> Iterator[int]:
        """Encode (texts, shard folder) pairs; yields the number of each when its shard is in the local copy.

        Raises what `Spread.encode` raises, and `ObjectStoreError` if this machine loses the store.
        """
        keys = [shard.name for _, shard in tasks]
        missing = places.fetch_shards(self._remote, keys, self._terms.prints, self._progress) if tasks else {}
        yield from (number for number, key in enumerate(keys) if key not in missing)
        left = [number for number, key in enumerate(keys) if key in missing]
        for number in self._given_out([tasks[number] for number in left]) if left else ():
            yield left[number]

    def _given_out(self, tasks: Sequence[tuple[Path, Path]]) -> Iterator[int]:
        index = self._remote.folder
        plan = ShardPlan(self._terms, tuple(planned_shard(index, texts, shard) for texts, shard in tasks))
        shard_plan.save(index, plan)
        encoded = staging.shard_folders(index)
        stored = places.store_plan(self._remote, self._follows, plan.shards, encoded, self._progress)
        self._spread = Spread(
            self._workers(stored.name), index, self._terms.prints, self._limits, fetch=self._fetched
        )
        yield from self._spread.encode(tasks)

    def _fetched(self, place: Path) -> str:
        def sound(folder: Path) -> bool:
            return staging.holds(folder, self._terms.prints)

        return "" if sound(place) else shard_store.bring(self._remote, place, sound)
