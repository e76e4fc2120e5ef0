"""An encoder that threads share: those who wait are encoded together where that changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.encoder import MixedEncoder
from pipeline.models.contract import combines_queries
from pipeline.models.shared import MOST_TOGETHER, SharedEncoder
from pipeline.records import Encoded, MultiVectors, SparseRows
from tests.faults.stub import HashedEncoder


class Counted(HashedEncoder):
    """Gives every output, notes what it is given at once, and waits in the first call until it is let go."""

    combines_queries = True

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.busy, self.go = threading.Event(), threading.Event()

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        self.calls.append(list(texts))
        if len(self.calls) == 1:
            self.busy.set()
            assert self.go.wait(60)
        rows = SparseRows.from_dicts([{i: float(i + 1) for i in range(len(text) % 4)} for text in texts])
        made = self.encode_documents(texts)
        return Encoded(made.dense, rows, made.multivectors)


class Apart(Counted):
    """What it gives may depend on the batch."""

    combines_queries = False


def asked_together(encoder: Counted, calls: list[list[str]]) -> list[Encoded]:
    """What each caller gets: the first is at work when the others come."""
    shared = SharedEncoder(lambda: encoder)  # type: ignore[arg-type,return-value]
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(shared.encode_queries, calls[0])]
        assert encoder.busy.wait(60)
        for count, texts in enumerate(calls[1:], 1):
            futures.append(pool.submit(shared.encode_queries, texts))
            while encoder.combines_queries and shared.waiting < count:
                pass
        encoder.go.set()
    return [future.result() for future in futures]


def assert_same(one: Encoded, other: Encoded) -> None:
    assert one.dense is not None
    assert other.dense is not None
    np.testing.assert_array_equal(one.dense, other.dense)
    assert one.lexical is not None
    assert other.lexical is not None
    for i in range(len(one.dense)):
        for mine, theirs in zip(one.lexical.row(i), other.lexical.row(i), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert len(one.lexical) == len(other.lexical)
    assert one.multivectors is not None
    assert other.multivectors is not None
    np.testing.assert_array_equal(one.multivectors.offsets, other.multivectors.offsets)
    np.testing.assert_array_equal(one.multivectors.vectors, other.multivectors.vectors)


CALLS = [["first"], ["a b", "c"], [], ["d e f g"], ["h", "i j", "k"]]


@pytest.mark.parametrize("kind", [Counted, Apart])
def test_every_caller_gets_the_rows_of_its_own_texts(kind: type[Counted]) -> None:
    encoder = kind()
    found = asked_together(encoder, CALLS)
    alone = kind()
    alone.go.set()
    for texts, encoded in zip(CALLS, found, strict=True):
        assert_same(encoded, alone.encode_queries(texts))
    waited = [text for texts in CALLS[1:] for text in texts]
    assert encoder.calls[0] == ["first"]
    if encoder.combines_queries:
        assert encoder.calls[1:] == [waited]
    else:
        assert sorted(encoder.calls[1:]) == sorted(CALLS[1:])


def test_a_large_call_does_not_make_small_ones_wait_for_it() -> None:
    encoder = Counted()
    encoder.go.set()
    many = [str(number) for number in range(MOST_TOGETHER + 1)]
    shared = SharedEncoder(lambda: encoder)  # type: ignore[arg-type,return-value]
    assert_same(shared.encode_queries(many), encoder.encode_queries(many))


def test_two_encoders_combine_if_both_do() -> None:
    combining, apart = Counted(), Apart()
    bm25 = Bm25Encoder()
    assert combines_queries(bm25)
    assert combines_queries(MixedEncoder(combining, bm25))  # type: ignore[arg-type]
    assert not combines_queries(MixedEncoder(apart, bm25))  # type: ignore[arg-type]
    assert not combines_queries(HashedEncoder()), "an encoder that says nothing is not known to"  # type: ignore[arg-type]


def test_parts_of_an_answer_are_those_of_its_texts() -> None:
    whole = Encoded(
        np.arange(6, dtype=np.float32).reshape(3, 2),
        SparseRows.from_dicts([{1: 0.5}, {}, {2: 1.0, 7: 2.0}]),
        MultiVectors(np.array([0, 2, 2, 3]), np.arange(3, dtype=np.float32)[:, None]),
    )
    none, first, rest = whole.split([0, 1, 2])
    assert none.dense is not None
    assert none.dense.shape == (0, 2)
    assert none.lexical is not None
    assert len(none.lexical) == 0
    assert first.dense is not None
    assert first.dense.tolist() == [[0, 1]]
    assert rest.lexical is not None
    assert [row.tolist() for row in rest.lexical.row(1)] == [[2, 7], [1, 2]]
    assert [len(row) for row in rest.lexical.row(0)] == [0, 0]
    assert rest.multivectors is not None
    assert rest.multivectors.offsets.tolist() == [0, 0, 1]
    assert rest.multivectors.vectors.tolist() == [[2]]
    assert Encoded().split([1, 2]) == [Encoded(), Encoded()]
