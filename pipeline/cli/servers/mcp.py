"""The command that answers over MCP: mcp."""

from __future__ import annotations

import click

from pipeline.cli.common import Options
from pipeline.cli.groups import ReaderArguments, reader_options
from pipeline.cli.servers.named_indexes import opened_indexes


@click.command()
@click.option(
    "--index",
    "named",
    metavar="NAME=DIR",
    multiple=True,
    help="An index and the name to offer it by. Repeatable. Default: `index` of the configuration.",
)
@reader_options
@click.pass_obj
def mcp(options: Options, named: tuple[str, ...], reader: ReaderArguments) -> None:
    """Offer searches to a language model's client, as an MCP server on standard input and output."""
    from pipeline.integrations.lending import Followed
    from pipeline.integrations.mcp import mcp_server

    with opened_indexes(options, named, reader.chosen) as indexes:
        for index in indexes.values():
            reader.warn(options, index)
        mcp_server({name: Followed(index) for name, index in indexes.items()}).run("stdio")
