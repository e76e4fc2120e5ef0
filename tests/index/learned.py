"""A segment of lexical weights as a model gives them, with an approximate index beside its postings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.index.choices import AUTO, LexicalChoice
from pipeline.index.components.rows import SegmentShape
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.lexical.search import SparseQuery
from pipeline.index.manifest import SegmentEntry
from pipeline.index.schemas import chunks_to_table, sparse_to_table
from pipeline.index.segment import Segment, write_segment
from pipeline.records import Chunk, SparseRows

COUNT = 3000
TOPICS = 60
VOCABULARY = np.sort(np.random.default_rng(1).integers(0, 2**64, 2000, dtype=np.uint64))


@dataclasses.dataclass(frozen=True)
class Lexical:
    """The content of a segment that has nothing but lexical weights."""

    rows: SparseRows

    @property
    def count(self) -> int:
        return len(self.rows)

    def chunk_tables(self) -> Iterator[pa.Table]:
        yield chunks_to_table([Chunk(f"{i}#0", f"{i}", 0, 0, 1, "x") for i in range(self.count)])

    def blocks(self, *_: object) -> Iterator[pa.Table]:
        for start in range(0, self.count, 700):
            part = range(start, min(start + 700, self.count))
            yield sparse_to_table(SparseRows.from_dicts([dict(zip(*self.rows.row(i), strict=True)) for i in part]))


def learned_rows(count: int = COUNT) -> SparseRows:
    """As a model weighs: some heavy tokens of a topic, more light ones of any; one row in a hundred is empty."""
    rng = np.random.default_rng(0)
    common = 1 / (np.arange(len(VOCABULARY)) + 20.0)
    topics = [rng.choice(len(VOCABULARY), 40, replace=False) for _ in range(TOPICS)]
    rows: list[dict[int, float]] = []
    for i in range(count):
        heavy = rng.choice(topics[rng.integers(TOPICS)], 12, replace=False)
        light = rng.choice(len(VOCABULARY), rng.integers(5, 30), p=common / common.sum())
        weights = np.r_[rng.gamma(2, 0.12, len(heavy)), rng.gamma(1, 0.05, len(light))] + 0.01
        pairs = zip(VOCABULARY[np.r_[heavy, light]].tolist(), weights.tolist(), strict=True)
        rows.append({} if i % 100 == 50 else dict(pairs))
    return SparseRows.from_dicts(rows)


def write(index: Path, rows: SparseRows, target: float = 0.98) -> SegmentEntry:
    shape = SegmentShape(None, AUTO, True, lexical=LexicalChoice("seismic", target))
    return write_segment(index, "approximate", Lexical(rows), shape)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Built:
    index: Path
    rows: SparseRows
    entry: SegmentEntry

    def query(self, i: int) -> SparseQuery:
        return SparseQuery(*self.rows.row(i))


QUERIES = range(3, COUNT, 151)


def exact(segment: Segment, query: SparseQuery, depth: int, excluded: Any = None) -> tuple[list[int], bytes]:
    ordinals, scores = segment.open(LEXICAL).search(query, depth, excluded, None)
    return ordinals.tolist(), scores.tobytes()
