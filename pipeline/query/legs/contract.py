"""What a leg is asked by ranking, completion, calibration and explanation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline.index.segment import Mask
from pipeline.query.snapshot import Float64, Ids, Ranking
from pipeline.records import Encoded, Float32, MultiVectors, SparseRows, TokenMatch

Query = TypeVar("Query")


@dataclass(frozen=True, slots=True)
class EncodedQueries:
    """Queries ready to be ranked. `dense`: float32 (n, d); `lexical`: n sparse rows; `scripts`: of each text.

    `multivectors`: n ragged rows, if the index's encoder gives them.
    """

    texts: tuple[str, ...]
    dense: Float32 | None
    lexical: SparseRows | None
    multivectors: MultiVectors | None
    scripts: tuple[str, ...]

    def query_vectors(self, i: int) -> Float32 | None:
        """Token-level vectors of query `i`, float32 (tokens, d), if the encoder gave them."""
        rows = self.multivectors
        return None if rows is None else rows.vectors[int(rows.offsets[i]) : int(rows.offsets[i + 1])]

    def only(self, i: int) -> EncodedQueries:
        """Query `i` alone."""
        return self.part(slice(i, i + 1))

    def part(self, part: slice) -> EncodedQueries:
        """Some queries that follow each other."""
        return EncodedQueries(
            self.texts[part],
            None if self.dense is None else self.dense[part],
            None if self.lexical is None else self.lexical.rows(part),
            None if self.multivectors is None else self.multivectors.rows(part),
            self.scripts[part],
        )


@dataclass(frozen=True, slots=True)
class Joint:
    """What a leg found together with others. `rankings`: for each query; `scores`: this leg's exact scores of all
    that any of the legs found for the query, by ascending number."""

    rankings: list[Ranking]
    scores: list[Float64]


class Leg(ABC, Generic[Query]):
    """One side of a hybrid search over the chunks of a snapshot. `Query`: what it makes of an encoded query."""

    name: str

    @property
    def is_exact(self) -> bool:
        """Whether `candidates` finds what is best; an approximate leg finds other chunks at another depth."""
        return True

    @property
    def scores_all(self) -> bool:
        """Whether every chunk has a score; else zero stands for those that do not match the query."""
        return True

    @abstractmethod
    def prepare(self, queries: EncodedQueries) -> Sequence[Query] | None:
        """Return each query as this leg searches for it; `None` if the encoder gives nothing for this leg."""

    @abstractmethod
    def candidates(self, queries: Sequence[Query], depth: int, kept: Sequence[Mask] | None = None) -> list[Ranking]:
        """Find the best `depth` chunks of each query, with exact scores. `kept`: for each segment, what may be
        found; `None`: all that is not deleted."""

    @abstractmethod
    def scores(self, query: Query, ids: Ids) -> Float64:
        """Score given chunks exactly: the same bits that `candidates` gives for them."""

    def search_jointly(
        self, legs: Sequence[tuple[Leg[Any], Sequence[Any]]], depth: int, kept: Sequence[Mask] | None
    ) -> list[Joint] | None:
        """Find candidates of several legs, this one among them, and complete their scores, where one question to
        somebody else answers all of it; `None`: leg by leg, then complete."""
        return None

    def complete(self, queries: Sequence[Query], ids: Sequence[Ids]) -> list[Float64]:
        """Score for each query the chunks given for it, as `scores` does."""
        return [self.scores(query, some) for query, some in zip(queries, ids, strict=True)]

    @abstractmethod
    def passage_score(self, query: Query, passages: Encoded, row: int) -> float:
        """Return what passage `row` would score if it stood in the index."""

    def passages(self, ids: Ids) -> Encoded:
        """Return what is stored of given chunks, in their order; nothing where passages cannot ask."""
        return Encoded()

    def bound(self, query: Query) -> float:
        """Return the highest score that any text could have; 0 where none is known, or none is needed."""
        return 0.0

    def unit(self, query: Query) -> float:
        """Return what scores for this query are measured in by `auto`; 0: their deviation over the collection."""
        return 0.0

    def matches(self, query: Query, number: int, tokens: Mapping[int, str]) -> tuple[TokenMatch, ...]:
        """Explain a chunk's score by the tokens that it shares with the query, if that is how this leg scores.

        `tokens`: readable forms of token ids.
        """
        return ()

    def matches_of(self, query: Query, ids: Ids, tokens: Mapping[int, str]) -> list[tuple[TokenMatch, ...]]:
        """Explain the scores of several chunks, each as `matches` does."""
        return [self.matches(query, int(number), tokens) for number in ids]
