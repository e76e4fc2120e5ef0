"""The command that searches: query."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline.cli.common import Generation, Options, collected, console
from pipeline.cli.groups import ReaderArguments, reader_options
from pipeline.names import MODES
from pipeline.startup import own_process
from pipeline.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import QuerySettings
    from pipeline.query.files.batch import Query
    from pipeline.query.files.results import Add
    from pipeline.query.fusion.trust import LegTrust
    from pipeline.query.request import SearchRequest
    from pipeline.query.searcher import Index
    from pipeline.records import Facet, Hit


def _boosts(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> list[str] | None:
    """Those of the command line, if any are there; `none` alone: none at all."""
    return None if not given else [] if given == ("none",) else list(given)


BLOCK_QUERIES = 256
"""Queries searched together: enough to be fast, few enough to keep their hits in memory."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Where the queries come from."""

    text: str | None
    batch: str | None

    def read(self) -> list[Query]:
        """Return the queries: TEXT, those of a file, or the lines of standard input."""
        from pipeline.query.files.batch import Query, parse_queries, read_queries, split_lines

        if self.batch is not None:
            if self.text is not None:
                raise click.UsageError("give TEXT or --batch, not both")
            if self.batch == "-":
                return parse_queries(sys.stdin.read().splitlines(), "standard input")
            return read_queries(Path(self.batch))
        if self.text is not None and self.text != "-":
            return [Query("1", self.text)]
        if sys.stdin.isatty():
            raise click.UsageError("give TEXT, or --batch FILE, or queries on standard input, one a line")
        return parse_queries(split_lines(sys.stdin.read()), "standard input")


@dataclass(frozen=True, slots=True)
class SearchArguments:
    """What is asked of an index. What is `None` comes from its settings."""

    k: int | None
    mode: str | None
    fusion: str | None
    collapse: bool
    distinct: float | None
    context: int
    where: str | None
    rerank: str | None
    rerank_top: int | None
    explain: bool
    boosts: list[str] | None

    def check(self, settings: QuerySettings) -> None:
        """Refuse --rerank-top where nothing reranks."""
        from pipeline.query.rerank import NONE

        if self.rerank_top is not None and (self.rerank or settings.rerank.model) == NONE:
            raise click.UsageError("--rerank-top: nothing reranks; name a reranker with --rerank")

    def request(self, index: Index, texts: Sequence[str]) -> SearchRequest:
        """Return the checked request for these texts."""
        from pipeline.query.request import SearchRequest

        return SearchRequest.for_texts(index, texts, **dataclasses.asdict(self))


@dataclass(frozen=True, slots=True)
class IndexArguments:
    """The index to search."""

    index_path: str | None
    generation: int | Literal["staged"] | None


@dataclass(frozen=True, slots=True)
class FacetArguments:
    """Which fields are counted beside the search."""

    facets: tuple[str, ...]
    facet_limit: int | None

    def counted(self, index: Index, where: str | None) -> list[Facet]:
        """Count them over all chunks, or those that satisfy the filter."""
        from pipeline.query.filter.facet_request import FACET_VALUES

        limit = FACET_VALUES if self.facet_limit is None else self.facet_limit
        return index.facets(list(dict.fromkeys(self.facets)), where, limit) if self.facets else []

    def check(self, output: OutputArguments) -> None:
        """Refuse a limit of nothing, and counts that nobody would see."""
        if self.facet_limit is not None and not self.facets:
            raise click.UsageError("--facet-limit: nothing is counted; name a field with --facet")
        if self.facets and (output.run_path is not None or output.output is not None):
            raise click.UsageError("--facet: --run and --output write hits alone; leave them out, or use --json")


@dataclass(frozen=True, slots=True)
class OutputArguments:
    """Where the hits go, and what is shown of them."""

    show: tuple[str, ...]
    run_path: str | None
    output: str | None
    as_json: bool

    def check(self) -> None:
        """Refuse two places at once, and a file whose form its name does not tell."""
        from pipeline.query.files.results import SUFFIXES

        if self.as_json and (self.run_path is not None or self.output is not None):
            raise click.UsageError("--json prints hits, --run and --output write them: give one or the other")
        if self.output is not None and Path(self.output).suffix not in SUFFIXES:
            raise click.UsageError(f"--output {self.output}: the name must end in {' or '.join(SUFFIXES)}")


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
    "--boost", "boosts", multiple=True, callback=_boosts, metavar="B", help="Multiply scores. Repeatable."
)
@click.option("--explain", is_flag=True, help="Show how each score came about, and why each leg was trusted.")
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
        trust = _Trust(index, request)
        counts = facets.counted(index, request.where)
        sinks = _sinks(stack, index, used, output, arguments.collapse, trust)
        table = None if sinks or output.as_json else _Table(index, output.show, trust)
        if table is not None:
            sinks.append(Sink(table.add, arguments.collapse))
        elif not sinks:
            sinks.append(Sink(_json_lines(index, used, named, trust, counts), arguments.collapse))
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
            collapse: index.answer(dataclasses.replace(request, texts=texts, collapse=collapse))
            for collapse in {sink.collapse for sink in sinks}
        }
        for sink in sinks:
            sink.add(queries[first : first + BLOCK_QUERIES], found[sink.collapse])


@dataclass(frozen=True, slots=True)
class Sink:
    """Where hits go, and whether only the best chunk of each document does."""

    add: Add
    collapse: bool


def _sinks(
    stack: contextlib.ExitStack,
    index: Index,
    mode: str,
    output: OutputArguments,
    collapse: bool,
    trust: _Trust,
) -> list[Sink]:
    """What --run and --output write. A run ranks documents."""
    from pipeline.query.files import results
    from pipeline.query.files.batch import trec_lines

    def trec(one: Query, hits: Sequence[Hit]) -> Iterable[str]:
        return trec_lines({one.query_id: [(hit.doc_id, hit.score) for hit in hits]}, mode)

    def record(one: Query, hits: Sequence[Hit]) -> Iterable[str]:
        from pipeline.render import hit_tables

        (why,) = trust.of([one])
        return (hit_tables.hits_as_json(one.text, one.query_id, index, mode, hits, why),)

    sinks = []
    if output.run_path is not None:
        sinks.append(Sink(stack.enter_context(results.lines_file(Path(output.run_path), trec)), True))
    if output.output is not None:
        path = Path(output.output)
        parquet = path.suffix == ".parquet"
        file = results.parquet_file(path) if parquet else results.lines_file(path, record)
        sinks.append(Sink(stack.enter_context(file), collapse))
    return sinks


class _Trust:
    """Why each leg was trusted, for queries whose hits are to be explained."""

    def __init__(self, index: Index, request: SearchRequest) -> None:
        self._index, self._request = index, request

    def of(self, queries: Sequence[Query]) -> Sequence[Sequence[LegTrust]]:
        if not self._request.explain:
            return [() for _ in queries]
        return self._index.trust(dataclasses.replace(self._request, texts=tuple(one.text for one in queries)))


def _json_lines(index: Index, mode: str, named: bool, trust: _Trust, facets: Sequence[Facet]) -> Add:
    from pipeline.render import hit_tables

    def add(queries: Sequence[Query], results: Sequence[Sequence[Hit]]) -> None:
        for one, hits, why in zip(queries, results, trust.of(queries), strict=True):
            query_id = one.query_id if named else None
            click.echo(hit_tables.hits_as_json(one.text, query_id, index, mode, hits, why, facets))

    return add


class _Table:
    """Prints tables, and knows afterwards which of the fields to show no hit had."""

    def __init__(self, index: Index, show: Sequence[str], trust: _Trust) -> None:
        self._index, self._show, self._trust = index, show, trust
        self._fields: set[str] = set()

    @functools.cached_property
    def _screen(self) -> Console:
        return console()

    def add(self, queries: Sequence[Query], results: Sequence[Sequence[Hit]]) -> None:
        """Print the hits of some queries."""
        from pipeline.render import hit_tables

        for one, hits, why in zip(queries, results, self._trust.of(queries), strict=True):
            hit_tables.hits_table(self._screen, one.text, self._index, hits, self._show)
            hit_tables.trust_lines(self._screen, why)
            self._fields.update(*(hit.metadata for hit in hits))

    def end(self, facets: Sequence[Facet]) -> None:
        """Print what was counted beside the search."""
        from pipeline.render.facet_tables import facet_tables

        facet_tables(self._screen, facets)

    def warning(self) -> str | None:
        """One line about fields that are in no hit."""
        missing = [name for name in dict.fromkeys(self._show) if name not in self._fields]
        known = f"; they have: {', '.join(sorted(self._fields))}" if self._fields else ""
        return f"--show {', '.join(missing)}: none of the hits has it{known}" if missing else None
