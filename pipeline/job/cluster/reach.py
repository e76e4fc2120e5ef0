"""From the name of a cluster to workers for a build."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from pipeline.config import Config
from pipeline.encode.shard_plan import Terms
from pipeline.errors import ConfigError
from pipeline.ingest.workers.program import Elsewhere
from pipeline.job.cluster import on_ray, orders
from pipeline.job.cluster.spread import Limits, Spread
from pipeline.job.cluster.through_store import SpreadThroughStore
from pipeline.job.cluster.workers import Workers
from pipeline.job.injected import Injected
from pipeline.models.contract import Encoder
from pipeline.progress import ProgressFactory
from pipeline.remote.place import RemoteIndex


class Cluster(Protocol):
    """Machines that are there, or can be had."""

    def workers(self, config: Config, told: str) -> Workers:
        """Workers with these orders (`job/cluster/orders.py`); none is started yet."""

    def readers(self, config: Config) -> Elsewhere:
        """Room for programs that read and cut documents."""

    def leave(self) -> None:
        """Disconnect."""


@contextlib.contextmanager
def reached(name: str, injected: Injected) -> Iterator[Cluster | None]:
    """The cluster that `--cluster` names, reached before anything is read; `None` if it names none.

    Raises `ConfigError` for an encoder that is an object of this process, which cannot go there;
    `MissingDependencyError`, `EncoderError`.
    """
    if not name:
        yield None
        return
    if injected.own_encoder is not None:
        raise ConfigError(
            "cluster: an encoder that is passed as an object stays in this process; name one in the settings, by a "
            "kind of your own if need be (cluster.imports)"
        )
    cluster = on_ray.connect("" if name == "ray" else name)
    try:
        yield cluster
    finally:
        cluster.leave()


def spread_over(
    cluster: Cluster, config: Config, encoder: Encoder, follows: int, progress: ProgressFactory
) -> Spread | SpreadThroughStore:
    """What encodes shards on the workers of a cluster. `encoder`: this process's own, which they have to match.

    `follows`: the generation that was live when the shards were staged.
    """
    terms = Terms.of(config, encoder)
    limits = Limits(
        config.cluster.attempts,
        config.encode.timeout_seconds,
        config.cluster.start_seconds,
        config.remote.transfers,
    )
    if (remote := RemoteIndex.configured(config)) is not None:

        def told(plan: str) -> Workers:
            return cluster.workers(config, orders.written(config, terms, plan))

        return SpreadThroughStore(remote, told, terms, limits, follows, progress)
    workers = cluster.workers(config, orders.written(config, terms))
    return Spread(workers, config.index_path, terms.prints, limits)
