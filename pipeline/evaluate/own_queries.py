"""Queries that an index asks itself, where nobody else's are known."""

from __future__ import annotations

from pipeline.evaluate.known_items import POOL, SEED
from pipeline.query.files.batch import Query
from pipeline.query.fusion.index_calibration import sample
from pipeline.query.searcher import Index


def own_queries(index: Index, count: int) -> list[Query]:
    """Windows of words of up to `count` passages; their ids are the passages'. Those of the gate come first."""
    drawn = sample(index.snapshot, POOL * count, SEED)[:count] if count else []
    return [Query(index.snapshot.chunk(one.number).chunk_id, one.query.text) for one in drawn]
