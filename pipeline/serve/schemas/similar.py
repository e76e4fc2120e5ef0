"""Searches by example."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.serve import OnShardFailure
from pipeline.names import Mode
from pipeline.serve.schemas.base import Parameters, PartialAnswer
from pipeline.serve.schemas.search import SHARDS, HitAnswer


class SimilarParameters(Parameters):
    """Which document hits should be like."""

    doc_id: str = Field(min_length=1, description="A document of the index.")
    index: str | None = Field(default=None, description="Name of the index; the first one, unless it is said.")
    k: int | None = Field(default=None, ge=1, description="How many hits.")
    mode: Mode | None = Field(default=None, description="Which legs rank.")
    filter: str | None = Field(default=None, description="A condition on metadata, applied before ranking.")
    collapse: bool = Field(default=True, description="Only the best chunk of each document.")
    context: int = Field(default=0, ge=0, description="How many chunks to show before and after a hit.")
    on_shard_failure: OnShardFailure | None = Field(default=None, description=SHARDS)


class SimilarAnswer(PartialAnswer):
    """What is like a document, best first, all of it in one generation of one index."""

    index: str
    generation: int
    mode: str
    doc_id: str
    hits: list[HitAnswer]
