"""Searches: the same request as on the command line, and its hits with every leg's score."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field

from pipeline.config import FusionSettings
from pipeline.config.serve import OnShardFailure
from pipeline.names import Mode
from pipeline.serve.schemas.base import Answer, Body, Parameters, PartialAnswer

QueryText = Annotated[str, Field(min_length=1)]
INDEX = "Name of the index; the first one that the service has, unless it is said."
FILTER = "A condition on metadata that is applied before ranking, such as `lang = 'ko' and year >= 2024`."
_FACETS = "Metadata fields whose values are counted, over all chunks or those that `filter` keeps."
SHARDS = "Where the index is with shards and some fail: an answer without them, or an error."
BOOSTS = (
    "What multiplies scores, such as `recency(updated, 30d)`, `saturation(stars, 100)` or `1.2 if lang = 'ko'`; "
    "`[]`: nothing. Else what is configured."
)
BOOST = "One boost, instead of those that are configured; `none`: nothing."
_RERANK = "`none`, `multivectors`, or the cross-encoder that the service is configured with, by its name."


def _written_out(moment: Any) -> Any:
    """Refuse a number, which pydantic takes for seconds since 1970, and most writers mean for a year."""
    if isinstance(moment, datetime) or (isinstance(moment, str) and "-" in moment.strip()[1:]):
        return moment
    raise ValueError("write the moment out with its time zone, as in 2026-01-31T12:00:00Z")


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out, json_schema_input_type=AwareDatetime)]


def linked_boosts(boost: str | None) -> list[str]:
    """The boosts of a link that names one, or `none`."""
    written = (boost or "").strip()
    return [] if written in ("", "none") else [written]


class SearchBody(Body):
    """What is searched for. What is not said comes from the service's configuration."""

    query: QueryText | Annotated[list[QueryText], Field(min_length=1)]
    """One query or several."""
    index: str | None = Field(default=None, description=INDEX)
    k: int | None = Field(default=None, ge=1, description="How many hits of each query.")
    mode: Mode | None = Field(default=None, description="Which legs rank.")
    fusion: str | FusionSettings | None = Field(default=None, description="A method, a preset, or settings.")
    filter: str | None = Field(default=None, description=FILTER)
    rerank: str | None = Field(default=None, description=_RERANK)
    rerank_top: int | None = Field(default=None, ge=1, description="How many of the best are reranked.")
    distinct: float | None = Field(
        default=None, gt=0, le=1, description="Leave out texts that share this much with a better hit."
    )
    collapse: bool = Field(default=False, description="Only the best chunk of each document.")
    context: int = Field(default=0, ge=0, description="How many chunks to show before and after a hit.")
    explain: bool = Field(default=False, description="Say how each score came about.")
    boosts: list[str] | None = Field(default=None, description=BOOSTS)
    now: Annotated[Moment, Field(strict=False)] | None = Field(
        default=None, description="The moment that recency is counted from; else now."
    )
    merge: bool = Field(default=False, description="One hit for a section of which most chunks are found.")
    group: Literal["doc_id"] | None = Field(default=None, description="`k` documents with their best chunks.")
    group_size: int | None = Field(default=None, ge=1, description="How many chunks of each document; else 3.")
    highlights: bool = Field(default=False, description="Show where the query's words stand.")
    suggest: bool = Field(default=False, description="Say which words the index does not hold, and near ones.")
    facets: list[str] = Field(default=[], description=_FACETS)
    facet_limit: int | None = Field(default=None, ge=1, description="How many values of a field to list; else 10.")
    on_shard_failure: OnShardFailure | None = Field(default=None, description=SHARDS)

    @property
    def queries(self) -> list[str]:
        """The queries, in order."""
        return [self.query] if isinstance(self.query, str) else list(self.query)


class SearchParameters(Parameters):
    """A search as a link: one query, and what is asked most."""

    q: QueryText = Field(description="The query.")
    index: str | None = Field(default=None, description=INDEX)
    k: int | None = Field(default=None, ge=1, description="How many hits.")
    mode: Mode | None = Field(default=None, description="Which legs rank.")
    fusion: str | None = Field(default=None, description="A method or a preset.")
    filter: str | None = Field(default=None, description=FILTER)
    rerank: str | None = Field(default=None, description=_RERANK)
    rerank_top: int | None = Field(default=None, ge=1, description="How many of the best are reranked.")
    distinct: float | None = Field(default=None, gt=0, le=1)
    collapse: bool = False
    context: int = Field(default=0, ge=0)
    explain: bool = False
    boost: str | None = Field(default=None, description=BOOST)
    now: Moment | None = None
    highlights: bool = False
    merge: bool = False
    group: Literal["doc_id"] | None = None
    group_size: int | None = Field(default=None, ge=1)
    suggest: bool = False
    facets: str = Field(default="", description="Fields to count, with commas between them.")
    facet_limit: int | None = Field(default=None, ge=1)
    on_shard_failure: OnShardFailure | None = Field(default=None, description=SHARDS)

    def as_body(self) -> SearchBody:
        """The same search as JSON would ask for it."""
        given = self.model_dump(exclude_unset=True)
        if "facets" in given:
            given["facets"] = [name for name in self.facets.split(",") if name]
        if "boost" in given:
            given["boosts"] = linked_boosts(given.pop("boost"))
        return SearchBody(**{"query" if name == "q" else name: value for name, value in given.items()})


class LegAnswer(Answer):
    """A hit's score in one leg. The last three are there if an explanation was asked for."""

    score: float
    rank: int | None
    """From 1; null: not among that leg's candidates."""
    normalized: float | None = None
    weight: float | None = None
    contribution: float | None = None


class MatchAnswer(Answer):
    """A token that query and passage share."""

    token: str
    query_weight: float
    passage_weight: float
    contribution: float


class BoostAnswer(Answer):
    """A boost, and the factor by which it multiplied the score."""

    boost: str
    factor: float


class HighlightAnswer(Answer):
    """Where the query's words stand, in code points: in the hit's text, and in a part of it."""

    spans: list[tuple[int, int]]
    """First character and the one after the last of each word that matches, in the hit's text."""
    text: str
    """A part of that text, white space folded."""
    marks: list[tuple[int, int]]
    """The same in this part."""
    cut_before: bool
    cut_after: bool


class SectionAnswer(Answer):
    """The section that a hit's text is, as most of its chunks were found; its other fields are of the best one."""

    first: int
    """Ordinal of its first chunk."""
    last: int
    hits: int
    """How many of its chunks were among the best."""
    best: tuple[int, int]
    """Where the best chunk stands in the hit's text: its first character, and the one after the last."""


class HitAnswer(Answer):
    """A chunk that was found. `legs`: dense, lexical, …; a leg that was not computed is absent."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    rank: int
    score: float
    chunk_id: str
    doc_id: str
    ordinal: int
    start: int
    end: int
    text: str
    headings: list[str]
    metadata: dict[str, Any]
    source: str
    legs: dict[str, LegAnswer]
    matches: list[MatchAnswer] = Field(default=[])
    boosts: list[BoostAnswer] = Field(default=[])
    highlight: HighlightAnswer | None = None
    section: SectionAnswer | None = None
    before: str | None = None
    after: str | None = None


class TrustAnswer(Answer):
    """How far a leg was trusted for a query, and why, in words."""

    leg: str
    weight: float
    words: str


class SuggestionAnswer(Answer):
    """A word of the query that the index does not hold, and near ones that it does. None was searched for."""

    word: str
    start: int
    """Where it stands in the query: its first character."""
    end: int
    near: list[str]


class QueryAnswer(Answer):
    """What was found for one query."""

    query: str
    hits: list[HitAnswer]
    trust: list[TrustAnswer] = Field(default=[])
    suggestions: list[SuggestionAnswer] = Field(default=[])


class FacetValueAnswer(Answer):
    """A value, and how many chunks and documents have it."""

    value: str | int | float | bool | None
    chunks: int
    documents: int


class FacetAnswer(Answer):
    """A field's values, those of most chunks first. `distinct`: how many there are; `missing`: chunks without."""

    field: str
    values: list[FacetValueAnswer]
    distinct: int
    missing: int


class SearchAnswer(PartialAnswer):
    """What was found, in the order of the queries, all of it in one generation of one index."""

    index: str
    generation: int
    mode: str
    results: list[QueryAnswer]
    facets: list[FacetAnswer] = Field(default=[])
