"""Queries, rankings, chunks and columns as parts of a message."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.config.boosts import Boost, Conditional, Recency, Saturation
from pipeline.index.columns.kinds import Kind
from pipeline.index.lexical.search import SparseQuery
from pipeline.names import DENSE
from pipeline.query.filter.table import AgreedColumn
from pipeline.query.shards.messages import Message, NoMessageError
from pipeline.query.snapshot import Float64, Ids, Ranking
from pipeline.records import Chunk, Encoded, Float32, SparseRows

One = TypeVar("One")
Other = TypeVar("Other")
_BOOSTS: Mapping[str, type[Boost]] = {one.__name__: one for one in (Recency, Saturation, Conditional)}
Arrays = dict[str, npt.NDArray[Any]]


def queries_to_arrays(leg: str, queries: Sequence[Any]) -> Arrays:
    """Queries as a leg has prepared them."""
    if leg == DENSE:
        return {"vectors": np.array(queries, np.float32)}
    ends = np.cumsum([0, *(len(query.token_ids) for query in queries)])
    return {
        "indptr": ends.astype(np.int64),
        "token_ids": _joined([query.token_ids for query in queries], np.uint64),
        "weights": _joined([query.weights for query in queries], np.float32),
    }


def queries_of(leg: str, message: Message) -> list[Any]:
    """The reverse."""
    if leg == DENSE:
        return list(message.array("vectors", "<f4", 2))
    rows = _sparse(message)
    return [SparseQuery(*rows.row(i)) for i in range(len(rows))]


def ragged_to_arrays(parts: Sequence[npt.NDArray[Any]], name: str, kind: type[Any]) -> Arrays:
    """Arrays of several lengths as one, and the lengths."""
    return {
        f"{name}_lengths": np.array([len(part) for part in parts], np.int64),
        name: _joined(parts, kind),
    }


def ragged_of(message: Message, name: str, kind: str, count: int) -> list[npt.NDArray[Any]]:
    """The reverse: so many arrays."""
    lengths, values = message.array(f"{name}_lengths", "<i8"), message.array(name, kind)
    if len(lengths) != count or (lengths < 0).any() or lengths.sum() != len(values):
        raise NoMessageError(f"its array {name} does not have the lengths that it says")
    return np.split(values, np.cumsum(lengths)[:-1]) if count else []


def rankings_of(message: Message, count: int) -> list[Ranking]:
    """The rankings of so many queries."""
    ids, scores = ragged_of(message, "ids", "<i8", count), ragged_of(message, "scores", "<f4", count)
    if any(len(one) != len(other) for one, other in zip(ids, scores, strict=True)):
        raise NoMessageError("it has other scores than chunks")
    return [Ranking(*pair) for pair in zip(ids, scores, strict=True)]


@dataclass(frozen=True, slots=True)
class JointPart:
    """What a shard found for several legs. `union`: for each query, all that any leg found; `scores`: of these, by
    each leg."""

    union: list[Ids]
    rankings: Mapping[str, list[Ranking]]
    scores: Mapping[str, list[Float64]]


def joint_of(message: Message, legs: Sequence[str], count: int, below: int) -> JointPart:
    """The findings of some legs for so many queries. `below`: how many chunks there are."""
    union = [checked_ids(one, below) for one in ragged_of(message, "union", "<i8", count)]
    rankings, scores = {}, {}
    for leg in legs:
        places = ragged_of(message, f"{leg}_places", "<u4", count)
        found = ragged_of(message, f"{leg}_found", "<f4", count)
        others = ragged_of(message, f"{leg}_others", "<f4", count)
        scores[leg] = [_all_scores(len(one[0]), *one[1:]) for one in zip(union, places, found, others, strict=True)]
        rankings[leg] = [Ranking(some[at], one) for some, at, one in zip(union, places, found, strict=True)]
    return JointPart(union, rankings, scores)


def _all_scores(chunks: int, places: npt.NDArray[np.uint32], found: Float32, others: Float32) -> Float64:
    """A leg's scores of what any leg found: at these places its own, elsewhere those of the others in order."""
    scores, own = np.empty(chunks, np.float64), np.zeros(chunks, np.bool_)
    own[checked_ids(places.astype(np.int64), chunks)] = True
    if len(places) != len(found) or own.sum() != len(found) or chunks - len(found) != len(others):
        raise NoMessageError("it has other scores than chunks")
    scores[places] = found  # the same bits that scoring them again would give
    scores[~own] = others
    return scores


def chunk_to_fields(chunk: Chunk) -> list[Any]:
    """A chunk as plain data."""
    return [
        chunk.chunk_id,
        chunk.doc_id,
        chunk.ordinal,
        chunk.start,
        chunk.end,
        chunk.text,
        list(chunk.headings),
        dict(chunk.metadata),
        chunk.doc_hash,
        chunk.source,
        chunk.context,
    ]


def chunk_of(fields: Any) -> Chunk:
    """The reverse."""
    try:
        chunk_id, doc_id, ordinal, start, end, text, headings, metadata, doc_hash, source, context = fields
        texts = all(isinstance(one, str) for one in (chunk_id, doc_id, text, doc_hash, source, context))
        numbers = all(isinstance(one, int) for one in (ordinal, start, end))
        if not (texts and numbers and isinstance(metadata, dict)):
            raise TypeError
        return Chunk(
            chunk_id, doc_id, ordinal, start, end, text, tuple(headings), metadata, doc_hash, source, context
        )
    except (TypeError, ValueError):
        raise NoMessageError("it has something else than chunks") from None


def encoded_to_arrays(encoded: Encoded) -> Arrays:
    """Stored vectors and weights."""
    found: Arrays = {}
    if encoded.dense is not None:
        found["dense"] = encoded.dense.reshape(len(encoded.dense), -1)
    if (rows := encoded.lexical) is not None:
        found |= {"indptr": rows.indptr.astype(np.int64), "token_ids": rows.token_ids, "weights": rows.weights}
    return found


def encoded_of(message: Message) -> Encoded:
    """The reverse."""
    return Encoded(
        dense=message.array("dense", "<f4", 2) if "dense" in message.arrays else None,
        lexical=_sparse(message) if "indptr" in message.arrays else None,
    )


def columns_to_fields(columns: Sequence[AgreedColumn]) -> list[Any]:
    """Columns as plain data."""
    return [[column.name, column.kind.name] for column in columns]


def columns_of(fields: Sequence[Any]) -> list[AgreedColumn]:
    """The reverse."""
    try:
        return [AgreedColumn(str(name), Kind[kind]) for name, kind in fields]
    except (TypeError, ValueError, KeyError):
        raise NoMessageError("it has something else than columns") from None


def boosts_to_fields(boosts: Sequence[Boost]) -> list[Any]:
    """Boosts as plain data."""
    return [[type(boost).__name__, *dataclasses.astuple(boost)] for boost in boosts]


def boosts_of(fields: Sequence[Any]) -> list[Boost]:
    """The reverse."""
    try:
        return [_boost_of(*one) for one in fields]
    except (TypeError, KeyError):
        raise NoMessageError("it has something else than boosts") from None


def _boost_of(kind: str, *values: Any) -> Boost:
    boost = _BOOSTS[kind](*values)
    kinds = [str if field.type == "str" else float for field in dataclasses.fields(boost)]
    if any(type(value) not in (wanted, int) for value, wanted in zip(values, kinds, strict=True)):
        raise TypeError
    return boost


def checked_ids(ids: Ids, below: int) -> Ids:
    """Numbers of chunks, of which there are so many."""
    if len(ids) and (ids.min() < 0 or ids.max() >= below):
        raise NoMessageError("it names chunks that there are not")
    return ids


def paired(keys: Sequence[int], one: Sequence[One], other: Sequence[Other]) -> dict[int, tuple[One, Other]]:
    """Two values for each key."""
    if not len(keys) == len(one) == len(other):
        raise NoMessageError("it tells of more or fewer chunks than were asked about")
    return dict(zip(keys, zip(one, other, strict=True), strict=True))


def _sparse(message: Message) -> SparseRows:
    indptr, tokens = message.array("indptr", "<i8"), message.array("token_ids", "<u8")
    weights = message.array("weights", "<f4")
    right = len(indptr) and indptr[0] == 0 and (np.diff(indptr) >= 0).all() and indptr[-1] == len(tokens)
    if not right or len(tokens) != len(weights):
        raise NoMessageError("its sparse rows do not fit together")
    return SparseRows(indptr, tokens, weights)


def _joined(parts: Sequence[npt.NDArray[Any]], kind: type[Any]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind, copy=False)


def with_arrays(fields: Mapping[str, Any], *arrays: Arrays) -> Message:
    """A message of fields and of arrays from several places."""
    return Message(fields, {name: array for some in arrays for name, array in some.items()})
