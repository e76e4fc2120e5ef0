"""The command that searches: query."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Generation, Options, collected
from pipeline.cli.groups import ReaderArguments, reader_options
from pipeline.cli.searching.arguments import (
    FacetArguments,
    IndexArguments,
    OutputArguments,
    Questions,
    SearchArguments,
    wanted_boosts,
)
from pipeline.cli.searching.outputs import Sink, Table, Trust, file_sinks, json_lines
from pipeline.names import MODES
from pipeline.startup import own_process
from pipeline.wording import counted

if TYPE_CHECKING:
    from pipeline.query.files.batch import Query
    from pipeline.query.request import SearchRequest
    from pipeline.query.searcher import Index

BLOCK_QUERIES = 256
"""Queries searched together: enough to be fast, few enough to keep their hits in memory."""


@click.command()
@click.argument("text", required=False)
@click.option("-k", type=int, help="Number of hits. Default: query.k of the configuration (10).")
@click.option("--mode", type=click.Choice(MODES), help="Which legs rank. Default: hybrid.")
@click.option(
    "--fusion", metavar="METHOD", help="Fusion method or preset. Default: query.fusion of the configuration."
)
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
@click.option(
    "--generation", type=Generation(), metavar="N", help="An earlier one, or `staged`. Default: the live one."
)
@click.option("--collapse", is_flag=True, help="Only the best chunk of each document.")
@click.option("--merge", is_flag=True, help="One hit for a section of which most chunks are found.")
@click.option("--group", metavar="doc_id", help="K documents, each with its best chunks.")
@click.option("--group-size", type=int, metavar="N", help="How many chunks of each --group. Default: 3.")
@click.option("--distinct", type=float, metavar="S", help="Leave out texts this similar (0 to 1) to a better hit.")
@click.option("--context", type=int, default=0, metavar="N", help="Also show N chunks before and after each hit.")
@click.option("--filter", "where", metavar="SQL", help="Condition on metadata, such as \"lang = 'ko'\".")
@click.option(
    "--facet", "facets", multiple=True, metavar="FIELD", help="Count a field's values, of all chunks or --filter's."
)
@click.option(
    "--facet-limit", type=click.IntRange(min=1), metavar="N", help="How many values of each --facet. Default: 10."
)
@click.option("--rerank", metavar="NAME", help="none, multivectors, or a cross-encoder's id or folder.")
@click.option(
    "--rerank-top", type=int, metavar="N", help="How many chunks are reranked. Default: query.rerank.top."
)
@click.option(
    "--boost", "boosts", multiple=True, callback=wanted_boosts, metavar="B", help="Multiply scores. Repeatable."
)
@click.option("--explain", is_flag=True, help="Show how each score came about, and why each leg was trusted.")
@click.option(
    "--suggest", is_flag=True, help="Also tell in JSON which words the index does not hold, and near ones."
)
@click.option("--highlights", is_flag=True, help="Also tell in JSON where the query's words stand.")
@click.option("--show", multiple=True, metavar="FIELD", help="A metadata field to show as a column. Repeatable.")
@click.option("--batch", metavar="FILE", help="Queries from a file: JSONL (_id, text), id<TAB>text or plain lines.")
@click.option("--run", "run_path", metavar="FILE", help="Write the best documents of each query as a TREC run.")
@click.option("--output", metavar="FILE", help="Write the hits as FILE.jsonl or FILE.parquet.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a query, a line each.")
@collected(
    questions=Questions,
    arguments=SearchArguments,
    source=IndexArguments,
    output=OutputArguments,
    facets=FacetArguments,
)
@reader_options
@click.pass_obj
def query(
    options: Options,
    questions: Questions,
    arguments: SearchArguments,
    source: IndexArguments,
    output: OutputArguments,
    facets: FacetArguments,
    reader: ReaderArguments,
) -> None:
    """Search the index for TEXT, for the queries of --batch FILE, or for each line of standard input."""
    with own_process.importing():
        import pipeline.query.searcher  # noqa: F401 - with all that a search needs
    output.check()
    facets.check(output)
    queries = questions.read()
    named = questions.batch is not None
    with contextlib.ExitStack() as stack:
        index = stack.enter_context(options.open_index(source.index_path, source.generation, reader.chosen))
        reader.warn(options, index)
        arguments.check(index.settings)
        used = arguments.mode or index.settings.mode
        request = arguments.request(index, [one.text for one in queries])
        trust = Trust(index, request)
        counts = facets.counted(index, request.where)
        sinks = file_sinks(stack, index, used, output, arguments.collapse, trust)
        table = None if sinks or output.as_json else Table(index, output.show, trust)
        if table is not None:
            sinks.append(Sink(table.add, arguments.collapse))
        elif not sinks:
            sinks.append(Sink(json_lines(index, used, named, trust, counts, output.suggest), arguments.collapse))
        if table is not None:
            threading.Thread(target=_import_tables, daemon=True).start()
        started = time.perf_counter()
        _answer(index, request, queries, sinks)
        seconds = time.perf_counter() - started
    if table is not None:
        table.end(counts)
        if warning := table.warning():
            options.warn(warning)
    if named and not options.quiet:
        rate = len(queries) / max(seconds, 1e-9)
        click.echo(f"{counted(len(queries), 'query')} in {seconds:.1f} s: {rate:,.1f} queries a second", err=True)


def _import_tables() -> None:
    """Import what prints tables, while another thread waits for the encoder to be loaded.

    What is missing is told by that thread, when it needs it.
    """
    with contextlib.suppress(ImportError):
        import pipeline.render.hit_tables  # noqa: F401


def _answer(index: Index, request: SearchRequest, queries: Sequence[Query], sinks: Sequence[Sink]) -> None:
    """Give every sink the hits of all queries, as many at a time as `BLOCK_QUERIES`."""
    for first in range(0, len(queries), BLOCK_QUERIES):
        texts = request.texts[first : first + BLOCK_QUERIES]
        found = {
            collapse: index.answer(dataclasses.replace(_ranking(request, collapse), texts=texts))
            for collapse in {sink.collapse for sink in sinks}
        }
        for sink in sinks:
            sink.add(queries[first : first + BLOCK_QUERIES], found[sink.collapse])


def _ranking(request: SearchRequest, collapse: bool) -> SearchRequest:
    """The request for chunks, or for the best chunk of each document."""
    if collapse == request.collapse:
        return request
    return dataclasses.replace(request, collapse=collapse, merge=False, group=None)
