"""`--groups` and `--all-groups`: for whom an index with an access field is searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options, collected

if TYPE_CHECKING:
    from pipeline.query.access import Groups
    from pipeline.query.searcher import Index


@dataclass(frozen=True, slots=True)
class ReaderArguments:
    """The groups of whoever searches."""

    groups: tuple[str, ...]
    all_groups: bool

    @property
    def chosen(self) -> Groups:
        """The groups. Raises `UsageError` for both options at once."""
        from pipeline.query.access import ALL_GROUPS

        if self.groups and self.all_groups:
            raise click.UsageError("--all-groups: leave --groups out")
        named = (name.strip() for one in self.groups for name in one.split(","))
        return ALL_GROUPS if self.all_groups else frozenset(filter(None, named))

    def warn(self, options: Options, index: Index) -> None:
        """Say why nothing is found where an index asks for groups and none were given."""
        field = index.manifest.access_field
        if field is not None and not index.groups and not options.quiet:
            options.warn(
                f"{index.path}: documents are shown by their {field}, and no groups were given, so nothing is "
                "found; give --groups NAME,… as a reader, or --all-groups as the owner of the index"
            )


def reader_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, handed on as `reader`."""
    command = collected(reader=ReaderArguments)(command)
    for option in (
        click.option("--all-groups", is_flag=True, help="Find every document, whatever its access field says."),
        click.option(
            "--groups",
            metavar="NAME,…",
            multiple=True,
            help="Groups of the reader, where access_field is set.",
        ),
    ):
        command = option(command)
    return command
