"""`--index NAME=DIR`: several indexes, each under a name of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options

if TYPE_CHECKING:
    from pipeline.query.access import Groups
    from pipeline.query.searcher import Index


@contextlib.contextmanager
def opened_indexes(options: Options, named: tuple[str, ...], groups: Groups) -> Iterator[dict[str, Index]]:
    """The indexes that `--index` names, or the configured one under its folder's name, opened for these groups.

    Raises `UsageError`.
    """
    folders = _folders(options, named)
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(options.open_index(folder, groups=groups)) for name, folder in folders.items()
        }


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
