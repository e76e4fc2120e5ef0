"""Searches by example."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config import FusionSettings
from pipeline.config.serve import OnShardFailure
from pipeline.names import Mode
from pipeline.serve.schemas.base import Body, Parameters, PartialAnswer
from pipeline.serve.schemas.search import (
    BOOST,
    BOOSTS,
    FILTER,
    INDEX,
    SHARDS,
    HitAnswer,
    Moment,
    QueryText,
    linked_boosts,
)

DocId = Annotated[str, Field(min_length=1)]


class SimilarBody(Body):
    """What hits should be like, and unlike: documents of the index, texts, or both. At least one to be like."""

    doc_ids: list[DocId] = Field(default=[], description="Documents of the index that hits should be like.")
    texts: list[QueryText] = Field(default=[], description="Texts that hits should be like.")
    unlike_doc_ids: list[DocId] = Field(default=[], description="Documents of the index that they should not.")
    unlike_texts: list[QueryText] = Field(default=[], description="Texts that they should not.")
    index: str | None = Field(default=None, description=INDEX)
    k: int | None = Field(default=None, ge=1, description="How many hits.")
    mode: Mode | None = Field(default=None, description="Which legs rank.")
    fusion: str | FusionSettings | None = Field(default=None, description="A method, a preset, or settings.")
    filter: str | None = Field(default=None, description=FILTER)
    collapse: bool = Field(default=True, description="Only the best chunk of each document.")
    context: int = Field(default=0, ge=0, description="How many chunks to show before and after a hit.")
    explain: bool = Field(default=False, description="Say how each score came about.")
    boosts: list[str] | None = Field(default=None, description=BOOSTS)
    now: Annotated[Moment, Field(strict=False)] | None = Field(
        default=None, description="The moment that recency is counted from; else now."
    )
    on_shard_failure: OnShardFailure | None = Field(default=None, description=SHARDS)


class SimilarParameters(Parameters):
    """A search by example as a link: one document, and what is asked most."""

    doc_id: DocId = Field(description="A document of the index.")
    index: str | None = Field(default=None, description=INDEX)
    k: int | None = Field(default=None, ge=1, description="How many hits.")
    mode: Mode | None = Field(default=None, description="Which legs rank.")
    filter: str | None = Field(default=None, description="A condition on metadata, applied before ranking.")
    collapse: bool = Field(default=True, description="Only the best chunk of each document.")
    context: int = Field(default=0, ge=0, description="How many chunks to show before and after a hit.")
    explain: bool = False
    boost: str | None = Field(default=None, description=BOOST)
    now: Moment | None = None
    on_shard_failure: OnShardFailure | None = Field(default=None, description=SHARDS)

    def as_body(self) -> SimilarBody:
        """The same search as JSON would ask for it."""
        given = self.model_dump(exclude_unset=True)
        given["doc_ids"] = [given.pop("doc_id")]
        if "boost" in given:
            given["boosts"] = linked_boosts(given.pop("boost"))
        return SimilarBody(**given)


class SimilarAnswer(PartialAnswer):
    """What is like the examples, best first, all of it in one generation of one index."""

    index: str
    generation: int
    mode: str
    doc_id: str | None = None
    """The document, where a link asked for one."""
    hits: list[HitAnswer]
