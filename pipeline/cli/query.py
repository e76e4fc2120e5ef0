"""The command that searches: query."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline.cli.common import Generation, Options, console

if TYPE_CHECKING:
    from pipeline.query.batch import Query
    from pipeline.query.results import Add
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
    from pipeline.query.choice import named_fusion

    _check_output(output)
    queries = _queries(text, batch)
    with options.open_index(index_path, generation) as index, contextlib.ExitStack() as stack:
        used = mode or index.settings.mode
        sinks = _sinks(stack, index, used, run_path, output)
        if not sinks:
            sinks.append(_printer(index, used, show, as_json, named=batch is not None))
        chosen = named_fusion(index.settings.fusion, fusion) if fusion is not None else None
        started = time.perf_counter()
        for first in range(0, len(queries), BLOCK_QUERIES):
            block = queries[first : first + BLOCK_QUERIES]
            results = index.search_many(
                [one.text for one in block],
                k,
                mode,
                fusion=chosen,
                collapse=collapse or run_path is not None,
                explain=explain,
                where=where,
                rerank=rerank,
                rerank_top=rerank_top,
                distinct=distinct,
                context=context,
            )
            for sink in sinks:
                sink(block, results)
        seconds = time.perf_counter() - started
    if batch is not None and not options.quiet:
        rate = len(queries) / max(seconds, 1e-9)
        click.echo(f"{len(queries):,} queries in {seconds:.1f} s: {rate:,.1f} queries a second", err=True)


def _check_output(output: str | None) -> None:
    from pipeline.query.results import SUFFIXES

    if output is not None and Path(output).suffix not in SUFFIXES:
        raise click.UsageError(f"--output {output}: the name must end in {' or '.join(SUFFIXES)}")


def _sinks(
    stack: contextlib.ExitStack, index: Index, mode: str, run_path: str | None, output: str | None
) -> list[Add]:
    """What --run and --output write."""
    from pipeline import render_hits
    from pipeline.query import results
    from pipeline.query.batch import trec_lines

    def trec(one: Query, hits: Sequence[Hit]) -> Iterable[str]:
        return trec_lines({one.query_id: [(hit.doc_id, hit.score) for hit in hits]}, mode)

    def record(one: Query, hits: Sequence[Hit]) -> Iterable[str]:
        return (render_hits.hits_as_json(one.text, one.query_id, index, mode, hits),)

    sinks = []
    if run_path is not None:
        sinks.append(stack.enter_context(results.lines_file(Path(run_path), trec)))
    if output is not None and output.endswith(".parquet"):
        sinks.append(stack.enter_context(results.parquet_file(Path(output))))
    elif output is not None:
        sinks.append(stack.enter_context(results.lines_file(Path(output), record)))
    return sinks


def _printer(index: Index, mode: str, show: tuple[str, ...], as_json: bool, named: bool) -> Add:
    from pipeline import render_hits

    screen = console()

    def show_all(queries: Sequence[Query], results: Sequence[Sequence[Hit]]) -> None:
        for one, hits in zip(queries, results, strict=True):
            if as_json:
                click.echo(render_hits.hits_as_json(one.text, one.query_id if named else None, index, mode, hits))
            else:
                render_hits.hits_table(screen, one.text, index, hits, show)

    return show_all


def _queries(text: str | None, batch: str | None) -> list[Query]:
    from pipeline.query.batch import Query, parse_queries, read_queries, split_lines

    if batch is not None:
        if text is not None:
            raise click.UsageError("give TEXT or --batch, not both")
        return read_queries(Path(batch))
    if text is not None and text != "-":
        return [Query("1", text)]
    if sys.stdin.isatty():
        raise click.UsageError("give TEXT, or --batch FILE, or queries on standard input, one a line")
    return parse_queries(split_lines(sys.stdin.read()), "standard input")
