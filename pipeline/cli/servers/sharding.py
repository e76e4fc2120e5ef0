"""`--shard I/N` and `--shards URL,…`: a service as a part of an index, and as the front of all parts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options
from pipeline.cli.places import place_of

if TYPE_CHECKING:
    from pipeline.config import ServeSettings
    from pipeline.query.searcher import Index
    from pipeline.serve.guard.keys import Keyring
    from pipeline.serve.shards.shard_service import ShardService


def shard_of(
    options: Options, named: tuple[str, ...], share: str, settings: ServeSettings, keys: Keyring
) -> ShardService:
    """The service of a share of the one index that `--index` or the configuration names."""
    from pipeline.query.shards.partition import Share
    from pipeline.query.shards.served import ServedShare
    from pipeline.serve.shards.shard_service import ShardService

    if len(named) > 1:
        raise click.UsageError("--shard: a shard is of one index; give one --index")
    folder = named[0].partition("=")[2] or named[0] if named else None
    return ShardService.of(
        ServedShare(place_of(options, folder).fetched(options), Share.parsed(share)), settings, keys
    )


@contextlib.contextmanager
def opened_front(options: Options, urls: str, settings: ServeSettings) -> Iterator[dict[str, Index]]:
    """The index over the shards at these addresses, under the name of the configured index."""
    from pipeline.query.access import ALL_GROUPS
    from pipeline.query.shards.sharded import open_shards
    from pipeline.serve.shards.client import KEY_VARIABLE, HttpShard

    config = options.config_or_defaults()
    is_configured = options.config_named or options.config_path.exists()
    key = os.environ.get(KEY_VARIABLE, "").strip() or None
    name = config.index_path.name
    shards = [HttpShard(url.strip(), settings.shard_seconds, key) for url in urls.split(",") if url.strip()]
    with contextlib.ExitStack() as stack:
        for shard in shards:
            stack.callback(shard.close)
        opened = open_shards(
            shards,
            name=f"shards of {name}",
            encoder=options.encoder or (config.encoder if is_configured else None),
            base=config.base,
            settings=config.query,
            groups=ALL_GROUPS,
            partial=settings.on_shard_failure == "partial",
        )
        yield {name: stack.enter_context(opened)}
