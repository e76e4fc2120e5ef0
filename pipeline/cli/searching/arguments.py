"""What the command that searches takes."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from pipeline.config import QuerySettings
    from pipeline.query.files.batch import Query
    from pipeline.query.request import SearchRequest
    from pipeline.query.searcher import Index
    from pipeline.records import Facet


def wanted_boosts(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> list[str] | None:
    """Those of the command line, if any are there; `none` alone: none at all."""
    return None if not given else [] if given == ("none",) else list(given)


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
    merge: bool
    group: str | None
    group_size: int | None
    distinct: float | None
    context: int
    where: str | None
    rerank: str | None
    rerank_top: int | None
    explain: bool
    boosts: list[str] | None
    highlights: bool

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
    suggest: bool

    def check(self) -> None:
        """Refuse two places at once, and a file whose form its name does not tell."""
        from pipeline.query.files.results import SUFFIXES

        if self.as_json and (self.run_path is not None or self.output is not None):
            raise click.UsageError("--json prints hits, --run and --output write them: give one or the other")
        if self.output is not None and Path(self.output).suffix not in SUFFIXES:
            raise click.UsageError(f"--output {self.output}: the name must end in {' or '.join(SUFFIXES)}")
