"""Near-duplicates of a collection: clusters of documents whose passages say the same, found within bounded memory.

A block of passages at a time asks with what is stored of them, the dense leg if there is one, else the lexical one,
which of the others are nearest; their texts decide. Two passages are alike as far as they share their shingles
(`query/dedupe.py`). What is alike is joined, so a cluster may hold documents which are alike only through others.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import QueryError
from pipeline.names import DENSE, LEXICAL
from pipeline.progress import ProgressFactory, silent
from pipeline.query.dedupe import shingles
from pipeline.query.legs.contract import EncodedQueries
from pipeline.query.searcher import Index
from pipeline.query.snapshot import Ranking, Snapshot

SIMILARITY = 0.8
BLOCK = 256
NEAREST = 16
"""How many of a passage's nearest are looked at. Of more copies than that, each is joined to some of the others."""
_TEXTS = 4096
"""Texts whose shingles are kept; those of a block and its neighbours, as a rule."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A document of a cluster. `similarity`: of its passage that is most like one of another document there."""

    doc_id: str
    source: str
    chunks: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What was found. `clusters`: the largest first, each by document id. `passages`: how many were compared."""

    similarity: float
    passages: int
    documents: int
    clusters: tuple[tuple[Copy, ...], ...]

    @property
    def copies(self) -> int:
        """Documents that a collection without repeats would not have: all of a cluster but one."""
        return sum(len(cluster) - 1 for cluster in self.clusters)


def duplicates(
    index: Index, similarity: float = SIMILARITY, progress: ProgressFactory = silent, block: int = BLOCK
) -> Duplicates:
    """Find documents that share a passage with another, or most of one. `similarity`: above 0 and up to 1.

    Raises `QueryError` for a similarity that makes none.
    """
    if not 0 < similarity <= 1:
        raise QueryError(f"similarity={similarity:g} must be above 0 and at most 1")
    snapshot = index.snapshot
    joined, alike = UnionFind(), dict[str, float]()
    read = functools.lru_cache(maxsize=_TEXTS)(lambda number: shingles(snapshot.chunk(number).text))
    doc_of = functools.lru_cache(maxsize=64 * _TEXTS)(snapshot.doc_id)
    passages = 0
    with progress("compare passages", index.manifest.chunks, "chunk") as bar:
        for numbers in _blocks(snapshot, block):
            for number, ranking in zip(numbers.tolist(), _nearest(index, numbers), strict=True):
                for other in ranking.ids.tolist():
                    one, two = doc_of(number), doc_of(other)
                    if one == two:
                        continue
                    share = jaccard(read(number), read(other))
                    if share >= similarity:
                        joined.join(one, two)
                        alike[one] = max(share, alike.get(one, 0.0))
                        alike[two] = max(share, alike.get(two, 0.0))
            passages += len(numbers)
            bar.update(len(numbers))
    clusters = [tuple(_copy(snapshot, doc_id, alike[doc_id]) for doc_id in group) for group in joined.groups()]
    return Duplicates(similarity, passages, index.manifest.documents, tuple(clusters))


def jaccard(one: frozenset[str], two: frozenset[str]) -> float:
    """The share of all their shingles that both have."""
    common = len(one & two)
    return common / (len(one) + len(two) - common)


class UnionFind:
    """Names that are joined two by two."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def join(self, one: str, two: str) -> None:
        """Put both, and all that they were joined with, into one group."""
        first, second = sorted((self._top(one), self._top(two)))
        self._above[second] = first

    def groups(self) -> list[list[str]]:
        """The groups, the largest first, then by their first name; names ascending."""
        found: dict[str, list[str]] = {}
        for name in sorted(self._above):
            found.setdefault(self._top(name), []).append(name)
        return sorted((group for group in found.values() if len(group) > 1), key=lambda g: (-len(g), g[0]))

    def _top(self, name: str) -> str:
        self._above.setdefault(name, name)
        while self._above[name] != name:
            self._above[name] = name = self._above[self._above[name]]
        return name


def _blocks(snapshot: Snapshot, block: int) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    """The numbers of live chunks, so many at a time."""
    start = 0
    for segment in snapshot.segments:
        alive = np.arange(segment.chunks) if segment.deleted is None else np.flatnonzero(~segment.deleted)
        for first in range(0, len(alive), block):
            yield (alive[first : first + block] + start).astype(np.int64)
        start += segment.chunks


def _nearest(index: Index, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> Sequence[Ranking]:
    leg = index.leg(DENSE if DENSE in index.legs else LEXICAL)
    stored = leg.passages(numbers)
    texts = ("",) * len(numbers)
    asked = leg.prepare(EncodedQueries(texts, stored.dense, stored.lexical, None, texts))
    return leg.candidates(asked, NEAREST) if asked else []


def _copy(snapshot: Snapshot, doc_id: str, similarity: float) -> Copy:
    numbers = snapshot.chunks_of(doc_id)
    return Copy(doc_id, snapshot.chunk(int(numbers[0])).source, len(numbers), similarity)
