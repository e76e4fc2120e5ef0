"""The command that finds what a collection says twice: duplicates."""

from __future__ import annotations

import dataclasses
import json
from typing import Literal

import click

from pipeline.cli.common import Generation, Options, console


@click.command()
@click.option(
    "--similarity", type=float, default=0.8, metavar="S", help="Share of the text (0 to 1). Default: 0.8."
)
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
@click.option(
    "--generation", type=Generation(), metavar="N", help="An earlier one, or `staged`. Default: the live one."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def duplicates(
    options: Options,
    similarity: float,
    index_path: str | None,
    generation: int | Literal["staged"] | None,
    as_json: bool,
) -> None:
    """Find documents that share a passage, word for word or nearly so, in clusters."""
    from pipeline.evaluate.duplicates import duplicates as find
    from pipeline.query.access import ALL_GROUPS
    from pipeline.render.duplicate_tables import duplicate_tables

    with options.open_index(index_path, generation, ALL_GROUPS) as index:
        found = find(index, similarity, options.progress())
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(found), "copies": found.copies}, ensure_ascii=False))
    else:
        duplicate_tables(console(), found)
