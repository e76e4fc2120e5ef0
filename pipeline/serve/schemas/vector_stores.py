"""OpenAI's vector stores: an index answers as one, so that programs written for them need no change."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.config.serve import OnShardFailure
from pipeline.serve.schemas.base import Answer, Body, PartialAnswer

Whole = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Value = bool | Whole | Number | str


class ComparisonFilter(Body):
    """A comparison of one attribute."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: Annotated[str, Field(min_length=1)]
    value: Value | Annotated[list[Value], Field(max_length=1000)]


class CompoundFilter(Body):
    """Filters joined."""

    type: Literal["and", "or"]
    filters: Annotated[list[ComparisonFilter | CompoundFilter], Field(min_length=1, max_length=100)]


class RankingOptions(Body):
    """How hits are ranked. `none` reranks nothing; the others do as the service is configured."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None


class StoreSearchBody(Body):
    """A search as OpenAI's clients send it."""

    query: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    )
    """One query or several, whose hits are put together, best score first."""
    max_num_results: Annotated[int, Field(ge=1, le=50)] = 10
    filters: ComparisonFilter | CompoundFilter | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: Literal[False] = False
    on_shard_failure: OnShardFailure | None = None
    """Not OpenAI's: whether to answer without shards that fail."""

    @property
    def queries(self) -> list[str]:
        """The queries, in order."""
        return [self.query] if isinstance(self.query, str) else list(self.query)


class ContentAnswer(Answer):
    """A piece of text."""

    type: Literal["text"] = "text"
    text: str


class StoreHitAnswer(Answer):
    """A chunk that was found. The last three are not OpenAI's."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | float | bool]
    content: list[ContentAnswer]
    chunk_id: str
    headings: list[str]
    legs: dict[str, float]


class StorePageAnswer(PartialAnswer):
    """All that was found; there is no second page. Which shards are missing is not OpenAI's."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[StoreHitAnswer]
    has_more: bool = False
    next_page: str | None = None


def attributes(metadata: dict[str, Any]) -> dict[str, str | float | bool]:
    """Metadata as OpenAI has it: no lists, which become texts, and nothing that is null."""
    return {
        key: ", ".join(map(str, value)) if isinstance(value, list) else value
        for key, value in metadata.items()
        if value is not None
    }
