"""The command that answers over HTTP: serve."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options
from pipeline.cli.groups import ReaderArguments, reader_options
from pipeline.cli.servers.named_indexes import opened_indexes
from pipeline.cli.servers.sharding import opened_front, shard_of

if TYPE_CHECKING:
    from pipeline.config import ServeSettings


@click.command()
@click.option(
    "--index",
    "named",
    metavar="NAME=DIR",
    multiple=True,
    help="An index and the name to serve it by. Repeatable. Default: `index` of the configuration.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--keys", "key_file", metavar="FILE", type=click.Path(path_type=Path), help="The file of keys.")
@click.option("--insecure", is_flag=True, help="Listen where others reach it although there is no key.")
@click.option(
    "--shard", "share", metavar="I/N", help="Be shard I (from 0) of N of one index: answer a front alone."
)
@click.option("--shards", "urls", metavar="URL,…", help="Be the front of these shards, the first of which is 0/N.")
@reader_options
@click.pass_obj
def serve(
    options: Options,
    named: tuple[str, ...],
    host: str,
    port: int,
    key_file: Path | None,
    insecure: bool,
    share: str | None,
    urls: str | None,
    reader: ReaderArguments,
) -> None:
    """Answer searches over HTTP, until a signal ends it."""
    if share is not None and urls is not None:
        raise click.UsageError("--shard and --shards: a service is a shard or a front, not both")
    if urls is not None and named:
        raise click.UsageError("--index: a front has the index of its shards; leave --index out")
    from pipeline.serve.needed import check_installed

    check_installed()
    from pipeline.query.access import ALL_GROUPS, NO_GROUPS
    from pipeline.serve import server
    from pipeline.serve.guard.keys import load_keys
    from pipeline.serve.service import Service

    settings: ServeSettings = options.config_or_defaults().serve
    keys = load_keys(key_file, os.environ, settings.groups_header, reader.chosen)

    def started(url: str) -> None:
        options.say(f"listening on {url}", event="listening", url=url)

    if share is not None:
        service = shard_of(options, named, share, settings, keys)
        server.serve(service, host, port, started, insecure)
        return
    indexes_of = (
        opened_indexes(options, named, ALL_GROUPS) if urls is None else opened_front(options, urls, settings)
    )
    with indexes_of as indexes:
        if not (keys or settings.groups_header or reader.chosen):
            for index in indexes.values():
                reader.warn(options, index.for_groups(NO_GROUPS))
        server.serve(Service.of(indexes, settings, keys), host, port, started, insecure)
