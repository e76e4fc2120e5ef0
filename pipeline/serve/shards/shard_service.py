"""All that a shard's answers share."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config import ServeSettings
from pipeline.query.shards.served import ServedShare
from pipeline.serve.guard.keys import NO_KEYS, Keyring
from pipeline.serve.metrics import Metrics
from pipeline.serve.watcher import Watcher
from pipeline.serve.workers import Workers


@dataclass(frozen=True, slots=True)
class ShardService:
    """One running shard."""

    settings: ServeSettings
    served: ServedShare
    metrics: Metrics
    workers: Workers
    watcher: Watcher
    keys: Keyring = NO_KEYS

    @classmethod
    def of(cls, served: ServedShare, settings: ServeSettings, keys: Keyring = NO_KEYS) -> ShardService:
        """A service of an open share, which it closes in the end."""
        metrics = Metrics()
        workers = Workers(settings.threads, settings.queue, settings.limits.seconds, metrics)
        return cls(settings, served, metrics, workers, Watcher([served], settings.refresh_seconds), keys)

    def start(self) -> None:
        """Begin to look for new generations."""
        self.watcher.start()

    def close(self) -> None:
        """Finish what runs, then close the share."""
        self.watcher.stop()
        self.workers.close()
        self.served.close()
