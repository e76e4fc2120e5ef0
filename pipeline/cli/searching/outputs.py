"""Where the hits of a search go: a table, lines of JSON, files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import console

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.cli.searching.arguments import OutputArguments
    from pipeline.query.files.batch import Query
    from pipeline.query.files.results import Add
    from pipeline.query.fusion.trust import LegTrust
    from pipeline.query.request import SearchRequest
    from pipeline.query.searcher import Index
    from pipeline.records import Facet, Hit


@dataclass(frozen=True, slots=True)
class Sink:
    """Where hits go, and whether only the best chunk of each document does."""

    add: Add
    collapse: bool


def file_sinks(
    stack: contextlib.ExitStack,
    index: Index,
    mode: str,
    output: OutputArguments,
    collapse: bool,
    trust: Trust,
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


class Trust:
    """Why each leg was trusted, for queries whose hits are to be explained."""

    def __init__(self, index: Index, request: SearchRequest) -> None:
        self._index, self._request = index, request

    def of(self, queries: Sequence[Query]) -> Sequence[Sequence[LegTrust]]:
        if not self._request.explain:
            return [() for _ in queries]
        return self._index.trust(dataclasses.replace(self._request, texts=tuple(one.text for one in queries)))


def json_lines(
    index: Index, mode: str, named: bool, trust: Trust, facets: Sequence[Facet], suggest: bool = False
) -> Add:
    from pipeline.render import hit_tables

    def add(queries: Sequence[Query], results: Sequence[Sequence[Hit]]) -> None:
        for one, hits, why in zip(queries, results, trust.of(queries), strict=True):
            query_id = one.query_id if named else None
            near = index.suggestions(one.text) if suggest else None
            click.echo(hit_tables.hits_as_json(one.text, query_id, index, mode, hits, why, facets, near))

    return add


class Table:
    """Prints tables, and knows afterwards which of the fields to show no hit had."""

    def __init__(self, index: Index, show: Sequence[str], trust: Trust) -> None:
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
            hit_tables.suggestion_lines(self._screen, self._index.suggestions(one.text))
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
