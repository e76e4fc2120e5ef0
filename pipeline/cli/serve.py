"""The command that answers over HTTP: serve."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options

if TYPE_CHECKING:
    from pipeline.config import ServeSettings
    from pipeline.query.searcher import Index


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
@click.pass_obj
def serve(options: Options, named: tuple[str, ...], host: str, port: int) -> None:
    """Answer searches over HTTP, until a signal ends it."""
    from pipeline.serve.needed import check_installed

    check_installed()
    from pipeline.serve import server
    from pipeline.serve.service import Service

    settings: ServeSettings = options.config_or_defaults().serve
    with _opened(options, named) as indexes:
        service = Service.of(indexes, settings)
        server.serve(
            service, host, port, lambda url: options.say(f"listening on {url}", event="listening", url=url)
        )


@contextlib.contextmanager
def _opened(options: Options, named: tuple[str, ...]) -> Iterator[dict[str, Index]]:
    folders = _folders(options, named)
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(options.open_index(folder)) for name, folder in folders.items()}


def _folders(options: Options, named: tuple[str, ...]) -> dict[str, str | None]:
    """The folder of each index by name; `None`: the configured one."""
    if not named:
        return {options.config().index_path.name: None}
    found: dict[str, str | None] = {}
    for one in named:
        name, equals, folder = one.partition("=")
        if not (name and equals and folder) or not name.replace("-", "").replace("_", "").isalnum():
            raise click.UsageError(f"--index {one}: give NAME=DIR; a name has letters, digits, `-` and `_`")
        if name in found:
            raise click.UsageError(f"--index {one}: the name {name} stands twice")
        found[name] = folder
    return found
