"""All that the answers share: the indexes, the limits, the threads, the counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import ServeSettings
from pipeline.index.lexical import kernel
from pipeline.query.searcher import Index
from pipeline.serve.guard.keys import NO_KEYS, Keyring
from pipeline.serve.holder import IndexHolder
from pipeline.serve.metrics import Metrics
from pipeline.serve.problems import Problem
from pipeline.serve.watcher import Watcher
from pipeline.serve.workers import Workers


@dataclass(frozen=True, slots=True)
class Service:
    """One running service. `holders`: the indexes by name; the first is meant where a request names none."""

    settings: ServeSettings
    holders: Mapping[str, IndexHolder]
    metrics: Metrics
    workers: Workers
    watcher: Watcher
    keys: Keyring = NO_KEYS

    @classmethod
    def of(cls, indexes: Mapping[str, Index], settings: ServeSettings, keys: Keyring = NO_KEYS) -> Service:
        """A service over open indexes, which it closes in the end."""
        metrics = Metrics()
        holders = {name: IndexHolder(name, index, metrics) for name, index in indexes.items()}
        workers = Workers(settings.threads, settings.queue, settings.limits.seconds, metrics)
        return cls(
            settings, holders, metrics, workers, Watcher(list(holders.values()), settings.refresh_seconds), keys
        )

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each index."""
        return {name: holder.path for name, holder in self.holders.items()}

    def holder(self, name: str | None) -> IndexHolder:
        """The index of this name, the first without one. Raises `Problem`: 404."""
        found = next(iter(self.holders.values())) if name is None else self.holders.get(name)
        if found is None:
            raise Problem(404, "index: there is no index of this name; /v1/indexes lists them")
        return found

    def start(self) -> None:
        """Begin to look for new generations, and to compile what searches run."""
        self.watcher.start()
        kernel.begin()

    def close(self) -> None:
        """Finish what runs, then close the indexes."""
        self.watcher.stop()
        self.workers.close()
        for holder in self.holders.values():
            holder.close()
