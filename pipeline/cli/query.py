"""The command that searches: query."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline import errors
from pipeline.cli.common import Generation, Options, console

if TYPE_CHECKING:
    from pipeline.query.batch import Query
    from pipeline.records import Hit


@click.command()
@click.argument("text", required=False)
@click.option("-k", type=int, help="Number of hits. Default: query.k of the configuration (10).")
@click.option("--mode", type=click.Choice(["hybrid", "dense", "lexical"]), help="Which legs rank. Default: hybrid.")
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
@click.option("--json", "as_json", is_flag=True, help="One JSON object a query, a line each.")
@click.pass_obj
def query(
    options: Options,
    text: str | None,
    k: int | None,
    mode: str | None,
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
    as_json: bool,
) -> None:
    """Search the index for TEXT, for the queries of --batch FILE, or for each line of standard input."""
    from pipeline import render

    queries = _queries(text, batch)
    with options.open_index(index_path, generation) as index:
        results = index.search_many(
            [q.text for q in queries],
            k,
            mode,
            collapse=collapse or run_path is not None,
            explain=explain,
            where=where,
            rerank=rerank,
            rerank_top=rerank_top,
            distinct=distinct,
            context=context,
        )
        used = mode or index.settings.mode
        if run_path is not None:
            _write_run(Path(run_path), queries, results, used)
            return
        named = batch is not None
        screen = console()
        for one, hits in zip(queries, results, strict=True):
            if as_json:
                click.echo(render.hits_as_json(one.text, one.query_id if named else None, index, used, hits))
            else:
                render.hits_table(screen, one.text, index, hits, show)


def _queries(text: str | None, batch: str | None) -> list[Query]:
    from pipeline.query.batch import Query, parse_queries, read_queries

    if batch is not None:
        if text is not None:
            raise click.UsageError("give TEXT or --batch, not both")
        return read_queries(Path(batch))
    if text is not None and text != "-":
        return [Query("1", text)]
    if sys.stdin.isatty():
        raise click.UsageError("give TEXT, or --batch FILE, or queries on standard input, one a line")
    return parse_queries(sys.stdin.read().splitlines(), "standard input")


def _write_run(path: Path, queries: Sequence[Query], results: Sequence[Sequence[Hit]], tag: str) -> None:
    from pipeline.query.batch import trec_lines

    run = {
        one.query_id: [(hit.doc_id, hit.score) for hit in hits] for one, hits in zip(queries, results, strict=True)
    }
    try:
        path.write_text("".join(f"{line}\n" for line in trec_lines(run, tag)), "utf-8")
    except OSError as error:
        raise errors.QueryError(f"{path}: cannot be written: {error.strerror}") from None
