"""The legs of an index whose segments are with shards: the shards find and score, the arithmetic is here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import arrays
from pipeline.index.lexical.search import SparseQuery
from pipeline.index.segment import Mask
from pipeline.names import DENSE, LEXICAL
from pipeline.query.legs.contract import Joint, Leg, Query
from pipeline.query.legs.dense import DenseLeg
from pipeline.query.legs.lexical import LexicalLeg
from pipeline.query.shards import encoding
from pipeline.query.shards.front.whole import ShardedSnapshot
from pipeline.query.shards.messages import NoMessageError
from pipeline.query.snapshot import Float64, Ids, Ranking
from pipeline.records import Encoded, Float32, SparseRows


@dataclasses.dataclass(frozen=True, slots=True)
class Asking:
    """How a leg asks the shards. `common`: fields of all its questions."""

    name: str
    snapshot: ShardedSnapshot
    common: dict[str, Any]

    def candidates(self, queries: Sequence[Any], depth: int, kept: Sequence[Mask] | None) -> list[Ranking]:
        """The best `depth` of all shards for each query."""
        if not len(queries):
            return []
        snapshot = self.snapshot
        fields = {**self.common, "depth": depth, **snapshot.narrowed(kept)}
        answers = snapshot.questions.all("candidates", fields, encoding.queries_to_arrays(self.name, queries))
        parts = [encoding.rankings_of(answer, len(queries)) for answer in answers.values()]
        merged = []
        for found in zip(*parts, strict=True):
            ids = encoding.checked_ids(np.concatenate([one.ids for one in found]), snapshot.chunks)
            merged.append(snapshot.best(ids, np.concatenate([one.scores for one in found]), depth))
        return merged

    def jointly(
        self, legs: Sequence[tuple[Leg[Any], Sequence[Any]]], depth: int, kept: Sequence[Mask] | None
    ) -> list[Joint] | None:
        """Several legs in one question: whatever a leg finds in all shards, its shard has scored by all legs."""
        count = len(legs[0][1])
        if len(legs) < 2 or not count:
            return None
        snapshot, names = self.snapshot, [leg.name for leg, _ in legs]
        fields = {"legs": names, "mean_length": snapshot.mean_length, "depth": depth, **snapshot.narrowed(kept)}
        asked = encoding.with_arrays({}, *(encoding.queries_to_arrays(leg.name, each) for leg, each in legs))
        answers = snapshot.questions.all("joint", fields, dict(asked.arrays)).values()
        parts = [encoding.joint_of(answer, names, count, snapshot.chunks) for answer in answers]
        rankings = {name: [self._merged(parts, name, i, depth) for i in range(count)] for name in names}
        scores: dict[str, list[Float64]] = {name: [] for name in names}
        for i in range(count):
            union = arrays.distinct(np.concatenate([rankings[name][i].ids for name in names]))
            known = np.concatenate([part.union[i] for part in parts])
            order = np.argsort(known)
            places = order[np.searchsorted(known, union, sorter=order)]
            for name in names:
                scores[name].append(np.concatenate([part.scores[name][i] for part in parts])[places])
        return [Joint(rankings[name], scores[name]) for name in names]

    def _merged(self, parts: Sequence[encoding.JointPart], name: str, i: int, depth: int) -> Ranking:
        found = [part.rankings[name][i] for part in parts]
        ids, scores = (np.concatenate([getattr(one, of) for one in found]) for of in ("ids", "scores"))
        return self.snapshot.best(ids, scores, depth)

    def complete(self, queries: Sequence[Any], ids: Sequence[Ids]) -> list[Float64]:
        """The scores of the chunks given for each query."""
        places = [self.snapshot.questions.positions(some) for some in ids]
        questions, asked = {}, {}
        for shard in sorted({shard for some in places for shard in some}):
            numbers = [number for number, some in enumerate(places) if shard in some]
            inside = [ids[number][places[number][shard]] for number in numbers]
            questions[shard] = encoding.with_arrays(
                self.common,
                encoding.queries_to_arrays(self.name, [queries[number] for number in numbers]),
                encoding.ragged_to_arrays(inside, "ids", np.int64),
            )
            asked[shard] = numbers
        results = [np.zeros(len(some), np.float64) for some in ids]
        for shard, answer in self.snapshot.questions.each("scores", questions).items():
            found = encoding.ragged_of(answer, "scores", "<f8", len(asked[shard]))
            for number, scores in zip(asked[shard], found, strict=True):
                inside_here = places[number][shard]
                if len(scores) != len(inside_here):
                    raise NoMessageError("it has other scores than chunks")
                results[number][inside_here] = scores
        return results

    def passages(self, ids: Ids) -> list[tuple[Ids, Encoded]]:
        """What is stored of chunks: positions, and what is stored of those."""
        answers = self.snapshot.questions.owners_of("passages", ids, self.common)
        return [(inside, encoding.encoded_of(answer)) for inside, answer in answers]


class _AskedLeg(Leg[Query]):
    """A leg whose candidates and scores shards give. Stands before the leg whose arithmetic it takes."""

    _asking: Asking

    def candidates(self, queries: Sequence[Query], depth: int, kept: Sequence[Mask] | None = None) -> list[Ranking]:
        """Find the best `depth` chunks of each query."""
        return self._asking.candidates(queries, depth, kept)

    def search_jointly(
        self, legs: Sequence[tuple[Leg[Any], Sequence[Any]]], depth: int, kept: Sequence[Mask] | None
    ) -> list[Joint] | None:
        """Find candidates of several legs at once."""
        return self._asking.jointly(legs, depth, kept)

    def scores(self, query: Query, ids: Ids) -> Float64:
        """Return exact scores of given chunks."""
        return self.complete([query], [ids])[0]

    def complete(self, queries: Sequence[Query], ids: Sequence[Ids]) -> list[Float64]:
        """Return the same of several queries."""
        return self._asking.complete(queries, ids)


class ShardedDenseLeg(_AskedLeg[Float32], DenseLeg):
    """The dense leg."""

    def __init__(self, snapshot: ShardedSnapshot) -> None:
        super().__init__(snapshot)
        self._asking = Asking(DENSE, snapshot, {"leg": DENSE})

    def passages(self, ids: Ids) -> Encoded:
        """Return the vectors of given chunks."""
        rows: list[Any] = [np.zeros((0, 0), np.float32)] * len(ids)
        for inside, found in self._asking.passages(ids):
            if found.dense is None or len(found.dense) != len(inside):
                raise NoMessageError("it has other vectors than chunks")
            for position, vector in zip(inside, found.dense, strict=True):
                rows[position] = vector
        return Encoded(dense=np.array(rows, np.float32))


class ShardedLexicalLeg(_AskedLeg[SparseQuery], LexicalLeg):
    """The lexical leg."""

    def __init__(self, snapshot: ShardedSnapshot) -> None:
        super().__init__(snapshot, snapshot.mean_length)
        self._sharded = snapshot
        self._asking = Asking(LEXICAL, snapshot, {"leg": LEXICAL, "mean_length": snapshot.mean_length})

    def passages(self, ids: Ids) -> Encoded:
        """Return the stored weights of given chunks."""
        rows: list[tuple[Any, Any]] = [(np.zeros(0, np.uint64), np.zeros(0, np.float32))] * len(ids)
        for inside, found in self._asking.passages(ids):
            if found.lexical is None or len(found.lexical) != len(inside):
                raise NoMessageError("it has other weights than chunks")
            for row, position in enumerate(inside.tolist()):
                rows[position] = found.lexical.row(row)
        parts = [SparseRows(np.array([0, len(tokens)], np.int64), tokens, weights) for tokens, weights in rows]
        return Encoded(lexical=SparseRows.concatenate(parts))

    def largest_weights(self, token_ids: npt.NDArray[np.uint64]) -> Float32:
        """Return for each token its largest stored weight."""
        answers = self._sharded.questions.all("largest_weights", None, {"token_ids": token_ids}).values()
        stored = [answer.array("weights", "<f4") for answer in answers]
        largest: Float32 = np.max([np.zeros(len(token_ids), np.float32), *stored], axis=0)
        return largest

    def contributions(self, query: SparseQuery, ids: Ids) -> Float32:
        """Return what each token adds to each chunk's score."""
        result = np.zeros((len(query.token_ids), len(ids)), np.float32)
        asked = encoding.queries_to_arrays(LEXICAL, [query])
        for inside, answer in self._sharded.questions.owners_of("contributions", ids, self._asking.common, asked):
            result[:, inside] = answer.array("added", "<f4", 2)
        return result


def sharded_legs(snapshot: ShardedSnapshot) -> dict[str, Leg[Any]]:
    """The legs of an index by name, in the order in which they are shown."""
    found: dict[str, Leg[Any]] = {}
    if snapshot.has(DENSE):
        found[DENSE] = ShardedDenseLeg(snapshot)
    if snapshot.has(LEXICAL):
        found[LEXICAL] = ShardedLexicalLeg(snapshot)
    return found
