"""The command that compares two generations: diff."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline.cli.common import Generation, Options, collected, console
from pipeline.errors import IndexNotFoundError

if TYPE_CHECKING:
    from pipeline.query.files.batch import Query
    from pipeline.query.searcher import Index


@dataclass(frozen=True, slots=True)
class AskedArguments:
    """Which queries are asked of both generations."""

    queries_path: str | None
    log_path: str | None
    pseudo: int

    def read(self, options: Options, index: Index) -> list[Query]:
        """Return those of --queries, else of `gate.queries`, else the index's own."""
        from pipeline.evaluate.own_queries import own_queries
        from pipeline.query.files.batch import read_queries
        from pipeline.query.log.reader import logged_queries

        if self.queries_path and self.log_path:
            raise click.UsageError("give --queries or --log, not both")
        if self.log_path:
            return logged_queries(Path(self.log_path), self.pseudo or None)
        if self.queries_path:
            return read_queries(Path(self.queries_path))
        config = options.config_or_defaults()
        if config.gate.queries is not None:
            return read_queries(config.base / config.gate.queries)
        return own_queries(index, self.pseudo)


@click.command()
@click.argument("before", type=int, required=False, metavar="[A]")
@click.argument("after", type=Generation(), required=False, metavar="[B]")
@click.option("--queries", "queries_path", metavar="FILE", help="Queries to ask of both. Default: gate.queries.")
@click.option("--log", "log_path", metavar="PATH", help="The folder or a file of a query log, instead.")
@click.option(
    "--pseudo",
    type=click.IntRange(min=0),
    default=50,
    metavar="N",
    help="Without any: windows of N passages of its own; of --log the N most frequent. Default: 50.",
)
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@collected(asked=AskedArguments)
@click.pass_obj
def diff(
    options: Options,
    before: int | None,
    after: int | Literal["staged"] | None,
    asked: AskedArguments,
    index_path: str | None,
    as_json: bool,
) -> None:
    """Tell what changed from generation A (default: the one before B) to B (default: the live one), and why."""
    from pipeline.evaluate.difference import difference
    from pipeline.query.access import ALL_GROUPS
    from pipeline.render import difference_tables

    with options.open_index(index_path, after, ALL_GROUPS) as later:
        if before is None:
            before = _newest_before(later)
        with options.open_index(index_path, before, ALL_GROUPS) as earlier:
            found = difference(earlier, later, asked.read(options, later))
    if as_json:
        record = {**dataclasses.asdict(found), "causes": found.causes}
        click.echo(json.dumps(record, ensure_ascii=False))
    else:
        difference_tables.difference_tables(console(), found)


def _newest_before(later: Index) -> int:
    from pipeline.index import manifest as manifests

    live = later.manifest.generation
    earlier = [number for number in manifests.generations(later.path) if number < live]
    if not earlier:
        raise IndexNotFoundError(
            f"{later.path}: no generation is left before {live}; `pipeline build` makes a new one, "
            "a higher `retain` keeps more"
        )
    return earlier[-1]
