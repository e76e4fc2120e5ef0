"""Parts of messages: read as they were written, and refused where they do not fit together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.index.columns.kinds import Kind
from pipeline.index.lexical.search import SparseQuery
from pipeline.names import DENSE, LEXICAL
from pipeline.query.filter.table import AgreedColumn
from pipeline.query.shards import encoding
from pipeline.query.shards.messages import Message, NoMessageError
from pipeline.records import Chunk


def travelled(arrays: encoding.Arrays) -> Message:
    return Message.of_bytes(Message({}, arrays).to_bytes())


@given(st.lists(st.dictionaries(st.integers(0, 2**64 - 1), st.floats(0.5, 9, width=32), max_size=4), max_size=4))
def test_sparse_queries_travel(rows: list[dict[int, float]]) -> None:
    queries = [
        SparseQuery(np.array(sorted(row), np.uint64), np.array([row[token] for token in sorted(row)], np.float32))
        for row in rows
    ]
    found = encoding.queries_of(LEXICAL, travelled(encoding.queries_to_arrays(LEXICAL, queries)))
    assert [(q.token_ids.tolist(), q.weights.tolist()) for q in found] == [
        (q.token_ids.tolist(), q.weights.tolist()) for q in queries
    ]


def test_vectors_travel() -> None:
    vectors = list(np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32))
    found = encoding.queries_of(DENSE, travelled(encoding.queries_to_arrays(DENSE, vectors)))
    assert np.array_equal(found, vectors)


@given(st.lists(st.lists(st.integers(-(2**40), 2**40), max_size=4), max_size=4))
def test_arrays_of_several_lengths_travel(parts: list[list[int]]) -> None:
    arrays = encoding.ragged_to_arrays([np.array(part, np.int64) for part in parts], "ids", np.int64)
    found = encoding.ragged_of(travelled(arrays), "ids", "<i8", len(parts))
    assert [part.tolist() for part in found] == parts


def test_chunks_and_columns_travel() -> None:
    chunk = Chunk("d#1", "d", 1, 2, 5, "색인", ("One", "Two"), {"tags": ["a"], "year": None}, "hash", "d.md", "One")
    fields = Message.of_bytes(Message({"chunk": encoding.chunk_to_fields(chunk)}).to_bytes()).fields["chunk"]
    assert encoding.chunk_of(fields) == chunk
    columns = [AgreedColumn("Year", Kind.INT), AgreedColumn("tags", Kind.LIST)]
    assert encoding.columns_of(encoding.columns_to_fields(columns)) == columns


IDS = np.array([1, 5], np.int64)
SPARSE = {"token_ids": np.zeros(2, np.uint64), "weights": np.zeros(2, np.float32)}


def part(places: Sequence[int], found: int, others: int) -> Message:
    """What a shard found by one leg of four chunks that any leg found. `found`, `others`: so many scores."""
    return encoding.with_arrays(
        {},
        encoding.ragged_to_arrays([np.array([3, 5, 8, 9])], "union", np.int64),
        encoding.ragged_to_arrays([np.array(places)], "dense_places", np.uint32),
        encoding.ragged_to_arrays([np.arange(found) / 3 + 10], "dense_found", np.float32),
        encoding.ragged_to_arrays([np.arange(others) / 3], "dense_others", np.float32),
    )


def test_scores_of_a_leg_and_of_others_are_put_together() -> None:
    found = encoding.joint_of(Message.of_bytes(part([2, 0], 2, 2).to_bytes()), ["dense"], 1, 10)
    assert found.rankings["dense"][0].ids.tolist() == [8, 3]
    third = float(np.float32(1 / 3))
    assert found.scores["dense"][0].tolist() == [float(np.float32(10 + 1 / 3)), 0.0, 10.0, third]


@pytest.mark.parametrize(
    "read",
    [
        lambda: encoding.ragged_of(Message({}, {"ids_lengths": IDS, "ids": IDS}), "ids", "<i8", 2),
        lambda: encoding.ragged_of(Message({}, {"ids_lengths": IDS, "ids": np.arange(6)}), "ids", "<i8", 1),
        lambda: encoding.ragged_of(Message({}, {"ids_lengths": -IDS, "ids": IDS}), "ids", "<i8", 2),
        lambda: encoding.checked_ids(IDS, 5),
        lambda: encoding.checked_ids(-IDS, 5),
        lambda: encoding.queries_of(LEXICAL, Message({}, {**SPARSE, "indptr": np.array([0, 3])})),
        lambda: encoding.queries_of(LEXICAL, Message({}, {**SPARSE, "indptr": np.array([0, 3, 2])})),
        lambda: encoding.queries_of(LEXICAL, Message({}, {**SPARSE, "indptr": np.zeros(0, np.int64)})),
        lambda: encoding.queries_of(DENSE, Message({}, {"vectors": np.zeros(3, np.float32)})),
        lambda: encoding.chunk_of(["only", "three", "fields"]),
        lambda: encoding.chunk_of([1] * 11),
        lambda: encoding.columns_of([["year", "A KIND"]]),
        lambda: encoding.columns_of([7]),
        lambda: encoding.joint_of(part([2, 0], 2, 2), ["dense"], 1, 9),
        lambda: encoding.joint_of(part([2, 4], 2, 2), ["dense"], 1, 10),
        lambda: encoding.joint_of(part([2, 2], 2, 2), ["dense"], 1, 10),
        lambda: encoding.joint_of(part([2, 0], 1, 2), ["dense"], 1, 10),
        lambda: encoding.joint_of(part([2, 0], 2, 3), ["dense"], 1, 10),
        lambda: encoding.joint_of(part([2, 0], 2, 1), ["dense"], 1, 10),
        lambda: encoding.paired([1, 2], ["a"], ["b"]),
    ],
)
def test_what_does_not_fit_together_is_refused(read: Callable[[], Any]) -> None:
    with pytest.raises(NoMessageError):
        read()
