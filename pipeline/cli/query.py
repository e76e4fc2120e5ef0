"""The command that searches: query."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline.cli.common import Generation, Options, console
from pipeline.wording import counted

if TYPE_CHECKING:
    from pipeline.query.files.batch import Query
    from pipeline.query.files.results import Add
    from pipeline.query.searcher import Index
    from pipeline.records import Hit


BLOCK_QUERIES = 256
"""Queries searched together: enough to be fast, few enough to keep their hits in memory."""


@click.command()
@click.argument("text", required=False)
@click.option("-k", type=int, help="Number of hits. Default: query.k of the configuration (10).")
@click.option("--mode", type=click.Choice(["hybrid", "dense", "lexical"]), help="Which legs rank. Default: hybrid.")
@click.option(
    "--fusion", metavar="METHOD", help="Fusion method or preset. Default: query.fusion of the configuration."
)
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
@click.option(
    "--generation", type=Generation(), metavar="N", help="An earlier one, or `staged`. Default: the live one."
)
@click.option("--collapse", is_flag=True, help="Only the best chunk of each document.")
@click.option("--distinct", type=float, metavar="S", help="Leave out texts this similar (0 to 1) to a better hit.")
@click.option("--context", type=int, default=0, metavar="N", help="Also show N chunks before and after each hit.")
@click.option("--filter", "where", metavar="SQL", help="Condition on metadata, such as \"lang = 'ko'\".")
@click.option("--rerank", metavar="NAME", help="none, multivectors, or a cross-encoder's id or folder.")
@click.option(
    "--rerank-top", type=int, metavar="N", help="How many chunks are reranked. Default: query.rerank.top."
)
@click.option("--explain", is_flag=True, help="Show how each score came about: normalised scores, weights, tokens.")
@click.option("--show", multiple=True, metavar="FIELD", help="A metadata field to show as a column. Repeatable.")
@click.option("--batch", metavar="FILE", help="Queries from a file: JSONL (_id, text), id<TAB>text or plain lines.")
@click.option("--run", "run_path", metavar="FILE", help="Write the best documents of each query as a TREC run.")
@click.option("--output", metavar="FILE", help="Write the hits as FILE.jsonl or FILE.parquet.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a query, a line each.")
@click.pass_obj
def query(
    options: Options,
    text: str | None,
    k: int | None,
    mode: str | None,
    fusion: str | None,
    index_path: str | None,
    generation: int | Literal["staged"] | None,
    collapse: bool,
    distinct: float | None,
    context: int,
    where: str | None,
    rerank: str | None,
    rerank_top: int | None,
    explain: bool,
    show: tuple[str, ...],
    batch: str | None,
    run_path: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Search the index for TEXT, for the queries of --batch FILE, or for each line of standard input."""
    from pipeline.query.rerank import NONE

    _check_files(run_path, output, as_json)
    queries = _queries(text, batch)
    with options.open_index(index_path, generation) as index, contextlib.ExitStack() as stack:
        used = mode or index.settings.mode
        if rerank_top is not None and (rerank or index.settings.rerank.model) == NONE:
            raise click.UsageError("--rerank-top: nothing reranks; name a reranker with --rerank")
        sinks = _sinks(stack, index, used, run_path, output, collapse)
        table = None if sinks or as_json else _Table(index, show)
        if table is not None:
            sinks.append(Sink(table.add, collapse))
        elif not sinks:
            sinks.append(Sink(_json_lines(index, used, named=batch is not None), collapse))
        started = time.perf_counter()
        for first in range(0, len(queries), BLOCK_QUERIES):
            block = queries[first : first + BLOCK_QUERIES]
            found = {
                collapsed: index.search_many(
                    [one.text for one in block],
                    k,
                    mode,
                    fusion=fusion,
                    collapse=collapsed,
                    explain=explain,
                    where=where,
                    rerank=rerank,
                    rerank_top=rerank_top,
                    distinct=distinct,
                    context=context,
                )
                for collapsed in {sink.collapse for sink in sinks}
            }
            for sink in sinks:
                sink.add(block, found[sink.collapse])
        seconds = time.perf_counter() - started
    if table is not None and (warning := table.warning()):
        options.warn(warning)
    if batch is not None and not options.quiet:
        rate = len(queries) / max(seconds, 1e-9)
        click.echo(f"{counted(len(queries), 'query')} in {seconds:.1f} s: {rate:,.1f} queries a second", err=True)


def _check_files(run_path: str | None, output: str | None, as_json: bool) -> None:
    from pipeline.query.files.results import SUFFIXES

    if as_json and (run_path is not None or output is not None):
        raise click.UsageError("--json prints hits, --run and --output write them: give one or the other")
    if output is not None and Path(output).suffix not in SUFFIXES:
        raise click.UsageError(f"--output {output}: the name must end in {' or '.join(SUFFIXES)}")


@dataclass(frozen=True, slots=True)
class Sink:
    """Where hits go, and whether only the best chunk of each document does."""

    add: Add
    collapse: bool


def _sinks(
    stack: contextlib.ExitStack,
    index: Index,
    mode: str,
    run_path: str | None,
    output: str | None,
    collapse: bool,
) -> list[Sink]:
    """What --run and --output write. A run ranks documents."""
    from pipeline.query.files import results
    from pipeline.query.files.batch import trec_lines
    from pipeline.render import hit_tables

    def trec(one: Query, hits: Sequence[Hit]) -> Iterable[str]:
        return trec_lines({one.query_id: [(hit.doc_id, hit.score) for hit in hits]}, mode)

    def record(one: Query, hits: Sequence[Hit]) -> Iterable[str]:
        return (hit_tables.hits_as_json(one.text, one.query_id, index, mode, hits),)

    sinks = []
    if run_path is not None:
        sinks.append(Sink(stack.enter_context(results.lines_file(Path(run_path), trec)), True))
    if output is not None:
        path = Path(output)
        parquet = path.suffix == ".parquet"
        file = results.parquet_file(path) if parquet else results.lines_file(path, record)
        sinks.append(Sink(stack.enter_context(file), collapse))
    return sinks


def _json_lines(index: Index, mode: str, named: bool) -> Add:
    from pipeline.render import hit_tables

    def add(queries: Sequence[Query], results: Sequence[Sequence[Hit]]) -> None:
        for one, hits in zip(queries, results, strict=True):
            click.echo(hit_tables.hits_as_json(one.text, one.query_id if named else None, index, mode, hits))

    return add


class _Table:
    """Prints tables, and knows afterwards which of the fields to show no hit had."""

    def __init__(self, index: Index, show: Sequence[str]) -> None:
        self._index, self._show, self._screen = index, show, console()
        self._fields: set[str] = set()

    def add(self, queries: Sequence[Query], results: Sequence[Sequence[Hit]]) -> None:
        """Print the hits of some queries."""
        from pipeline.render import hit_tables

        for one, hits in zip(queries, results, strict=True):
            hit_tables.hits_table(self._screen, one.text, self._index, hits, self._show)
            self._fields.update(*(hit.metadata for hit in hits))

    def warning(self) -> str | None:
        """One line about fields that are in no hit."""
        missing = [name for name in dict.fromkeys(self._show) if name not in self._fields]
        known = f"; they have: {', '.join(sorted(self._fields))}" if self._fields else ""
        return f"--show {', '.join(missing)}: none of the hits has it{known}" if missing else None


def _queries(text: str | None, batch: str | None) -> list[Query]:
    from pipeline.query.files.batch import Query, parse_queries, read_queries, split_lines

    if batch is not None:
        if text is not None:
            raise click.UsageError("give TEXT or --batch, not both")
        if batch == "-":
            return parse_queries(sys.stdin.read().splitlines(), "standard input")
        return read_queries(Path(batch))
    if text is not None and text != "-":
        return [Query("1", text)]
    if sys.stdin.isatty():
        raise click.UsageError("give TEXT, or --batch FILE, or queries on standard input, one a line")
    return parse_queries(split_lines(sys.stdin.read()), "standard input")
