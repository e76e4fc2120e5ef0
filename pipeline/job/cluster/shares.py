"""Workers without a cluster: each encodes a share of the planned shards, and one commit publishes them.

    pipeline ingest && pipeline encode --plan      one machine
    pipeline encode --shard 0/2 … 1/2              as many as there are, all at once
    pipeline encode --commit                       one machine

All see the same index folder, or the same object store. Workers hold no lock and know nothing of each other: a
shard stands under a name that says what is in it, all of it or not at all, so that it may be encoded twice and by
whomever.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipeline.arguments import reporter, shown
from pipeline.config import Config, configured
from pipeline.encode import shard_plan
from pipeline.encode import stage as encoding
from pipeline.encode.shard_plan import PlannedShard, ShardPlan, Terms
from pipeline.errors import ConfigError, IndexStoreError
from pipeline.ingest.cutting.contract import DocumentChunker
from pipeline.job import commit
from pipeline.job.cluster import places
from pipeline.job.injected import Injected
from pipeline.job.prepare.staged import staged_build, writing
from pipeline.models.contract import Encoder
from pipeline.progress import ProgressFactory, silent
from pipeline.remote.place import RemoteIndex
from pipeline.wording import counted

log = logging.getLogger(__name__)

_NAMED = 5
"""So many missing shards stand in an error."""


@dataclass(frozen=True, slots=True)
class Share:
    """Every `of`-th of the planned shards, from `number` on, which counts from 0."""

    number: int
    of: int

    @classmethod
    def parsed(cls, text: object) -> Self:
        """Read `i/n`. Raises `ConfigError`."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII) if isinstance(text, str) else None
        if match is None or int(match[1]) >= int(match[2]):
            raise ConfigError(
                f"shard={shown(text)}: give I/N, with I from 0 to N-1, such as 0/4 for the first of four"
            )
        return cls(int(match[1]), int(match[2]))

    def of_plan(self, plan: ShardPlan) -> Sequence[PlannedShard]:
        """The shards of this share."""
        return plan.shards[self.number :: self.of]


@dataclass(frozen=True, slots=True)
class ShareReport:
    """What a worker did of its share: shards and chunks that it encoded, and shards that were there already."""

    shards: int
    chunks: int
    found: int


def plan_shards(
    config: Config | str,
    *,
    encoder: Encoder | None = None,
    chunker: DocumentChunker | None = None,
    progress: ProgressFactory = silent,
) -> ShardPlan:
    """Write down which shards of what `ingest` staged are missing, for workers to encode; returns that plan.

    Where the index is in an object store, the plan and what is staged are uploaded. `encoder` and `chunker`: as in
    `job.build.encode`, whose errors it raises.
    """
    injected, watch = Injected.passed(encoder, chunker), reporter(progress)
    config = injected.settled(configured(config))
    index = config.index_path
    with writing(config, watch):
        ready = staged_build(config, injected)
        live = commit.followed(ready.config, ready.encoder, ready.staged)
        work = encoding.plan_work(index, ready.staged, ready.encoder, ready.config.segments, live)
        plan = shard_plan.planned(index, Terms.of(ready.config, ready.encoder), work.jobs)
        shard_plan.save(index, plan)
        if (remote := RemoteIndex.configured(config)) is not None:
            encoded = sorted(work.inventory.sources())
            places.store_plan(remote, ready.staged.base_generation, plan.shards, encoded, watch)
    return plan


def encode_share(
    config: Config | str,
    share: Share,
    *,
    encoder: Encoder | None = None,
    progress: ProgressFactory = silent,
) -> ShareReport:
    """Encode the shards of a share that are not there yet. Takes no lock, so any number of workers run at once.

    Raises `IncompatibleIndexError` before anything is computed if the plan was made with another version of this
    package, another encoder or other settings; `IndexStoreError` if nothing is planned, or if the staged texts are
    gone meanwhile; `EncoderError`; `ObjectStoreError`, also before anything is computed if the index is in an
    object store that cannot be written.
    """
    injected, watch = Injected.passed(encoder), reporter(progress)
    config = configured(config)
    place = places.place_of(config)
    plan = place.plan()
    config = injected.as_recorded(config, plan.terms.parts)
    loaded = injected.encoder(config)
    plan.terms.check(Terms.of(config, loaded), "this worker")
    mine = share.of_plan(plan)
    shards = chunks = 0
    with watch("encode", sum(shard.count for shard in mine), "chunk") as bar:
        for shard in mine:
            if place.encode(plan.terms, shard, loaded, config.segments):
                shards, chunks = shards + 1, chunks + shard.count
            bar.update(shard.count)
    return ShareReport(shards, chunks, len(mine) - shards)


def refuse_missing(tasks: Sequence[tuple[Path, Path]]) -> Iterator[int]:
    """A `ShardRunner` that encodes nothing. Raises `IndexStoreError` naming the shards that are missing, if any."""
    if tasks:
        names = [shard.name for _, shard in tasks]
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        raise IndexStoreError(
            f"{tasks[0][1].parent}: {counted(len(names), 'shard')} missing: {', '.join(names[:_NAMED])}{more}; run "
            "the workers again, which encode only these, or `pipeline encode` to encode them here"
        )
    yield from ()
