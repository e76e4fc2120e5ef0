"""Searches that are ranked together get the bits that each gets alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from pipeline.config import FusionSettings
from pipeline.errors import EncoderError, QueryError
from pipeline.index.dense.batch import WORTH_A_PRODUCT
from pipeline.query import together
from pipeline.query.legs.contract import EncodedQueries
from pipeline.query.ranked import Ranked
from pipeline.query.request import SearchRequest
from pipeline.query.searcher import Index
from pipeline.records import Encoded
from tests.faults import stub
from tests.support.collection import config_for

WORDS = ("apples", "pears", "plums", "figs", "limes", "kiwis", "document", "number", "about")
QUERIES = [f"{WORDS[i % 9]} {WORDS[i * 5 % 7]} {i}" for i in range(14)] + ["apples and pears"] * 2 + ["nowhere"]


class Combining(stub.HashedEncoder):
    """Says what is true of it; it refuses one text."""

    combines_queries = True

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        if "unbearable" in texts:
            raise EncoderError("unbearable")
        return super().encode_queries(texts)


@pytest.fixture(scope="module", params=["SQfp16", "Flat", "IVF8,SQfp16"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Three segments, with texts that are equal and texts that are not."""
    base = tmp_path_factory.mktemp("together")
    rng = np.random.default_rng(5)
    (base / "documents").mkdir()
    for i in range(700):
        text = " ".join(rng.choice(WORDS, 4)) + (f" {i}" if i % 3 else "")
        (base / "documents" / f"{i:03}.txt").write_text(text)
    config = config_for(base, segments={"max_chunks": 300, "dense": request.param}, encode={"shard_chunks": 100})
    stub.build(config)
    with stub.open_index(config.index_path, encoder=stub.encoder(Combining())) as opened:
        assert len(opened.snapshot.segments) == 3
        yield opened


def assert_same(one: Ranked, other: Ranked) -> None:
    for name in ("ids", "order", "scores"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for mine, theirs in zip(one.columns, other.columns, strict=True):
        np.testing.assert_array_equal(mine.scores, theirs.scores)
        np.testing.assert_array_equal(mine.ranks, theirs.ranks)
        assert (mine.name, mine.unit, mine.middle, mine.bound) == (
            theirs.name,
            theirs.unit,
            theirs.middle,
            theirs.bound,
        )


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_a_query_is_ranked_among_others_as_it_is_alone(index: Index, mode: str) -> None:
    alone = [index.rank([text], 10, mode)[0] for text in QUERIES]
    for size in (2, 3, 8, len(QUERIES)):
        for start in range(0, len(QUERIES), size):
            some = QUERIES[start : start + size]
            for found, expected in zip(index.rank(some, 10, mode), alone[start:], strict=False):
                assert_same(found, expected)


def test_very_many_queries_are_ranked_as_each_is_alone(index: Index) -> None:
    many = QUERIES * (WORTH_A_PRODUCT // len(QUERIES) + 1)
    alone = [index.rank([text], 10, "dense")[0] for text in QUERIES]
    for i, found in enumerate(index.rank(many, 10, "dense")):
        assert_same(found, alone[i % len(QUERIES)])


class Desk:
    """Stops the first encoding until it is let go, and notes how many queries are taken at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.busy, self.go = threading.Event(), threading.Event()
        encode = together.Ranker.encode

        def held(ranker: together.Ranker, texts: tuple[str, ...]) -> EncodedQueries:
            self.sizes.append(len(texts))
            if len(self.sizes) == 1:
                self.busy.set()
                assert self.go.wait(60)
            return encode(ranker, texts)

        monkeypatch.setattr(together.Ranker, "encode", held)


def test_threads_that_wait_are_ranked_at_once_and_get_what_they_get_alone(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [(text, k, mode) for text in QUERIES[:6] for k, mode in ((5, "hybrid"), (3, "lexical"))]
    expected = [index.search(*one) for one in asked]
    desk = Desk(monkeypatch)
    with ThreadPoolExecutor(len(asked) + 1) as pool:
        first = pool.submit(index.search, "figs", 10)
        assert desk.busy.wait(60)
        futures = [pool.submit(index.search, *one) for one in asked]
        while index._answer_together.waiting < len(asked):
            pass
        desk.go.set()
        assert [future.result() for future in futures] == expected
        assert len(first.result()) == 10
    assert sorted(desk.sizes) == [1, 6, 6], "one ranking for each kind of search"


def test_a_search_that_fails_fails_alone(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = index.search("figs", 5)
    desk = Desk(monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(index.search, "figs", 5)
        assert desk.busy.wait(60)
        futures = []
        for count, text in enumerate(("figs", "unbearable", "figs"), 1):
            futures.append(pool.submit(index.search, text, 5))
            while index._answer_together.waiting < count:
                pass
        desk.go.set()
        for future in (first, futures[0], futures[2]):
            assert future.result() == expected
        with pytest.raises(EncoderError, match="unbearable"):
            futures[1].result()
    assert desk.sizes == [1, 3, 1, 1, 1]


def test_what_takes_long_or_looks_again_is_ranked_alone(index: Index) -> None:
    def may_wait(*texts: str, **options: Any) -> bool:
        return together.may_wait(index._ranker, SearchRequest.for_texts(index, texts, **options))

    assert may_wait("figs")
    for options in ({"collapse": True}, {"distinct": 0.9}, {"rerank": "multivectors"}):
        assert not may_wait("figs", **options)
    assert not may_wait(*["figs"] * 17)
    condition = "doc_id > '3'"
    assert not may_wait("figs", where=condition), "others would wait until it is evaluated"
    expected = index.search("figs", 5, where=condition)
    assert may_wait("figs", where=condition)
    assert index.search("figs", 5, where=condition) == expected != index.search("figs", 5)
    with stub.open_index(index.path) as apart:
        request = SearchRequest.for_texts(apart, ["figs"])
        assert not together.may_wait(apart._ranker, request), "its encoder does not say that queries may be joined"


def test_hits_and_numbers_are_asked_for_together(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    explained = index.search("figs", 5, explain=True, context=1)
    plain, ranked = index.search("figs", 5), index.rank(["figs"], 5)
    desk = Desk(monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        pool.submit(index.search, "figs", 5)
        assert desk.busy.wait(60)
        futures: list[Any] = [
            pool.submit(index.search, "figs", 5, explain=True, context=1),
            pool.submit(index.rank, ["figs"], 5),
            pool.submit(index.search, "figs", 5),
        ]
        while index._answer_together.waiting < 3:
            pass
        desk.go.set()
        assert futures[0].result() == explained != plain == futures[2].result()
        (numbers,) = futures[1].result()
    assert numbers.ids[numbers.order].tolist() == ranked[0].ids[ranked[0].order].tolist()
    assert desk.sizes == [1, 3]


def test_fusions_are_not_mixed(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    fusions = [FusionSettings(method="rrf"), FusionSettings(method="zscore"), FusionSettings(method="rrf")]
    expected = [index.search("figs and limes", 5, fusion=fusion) for fusion in fusions]
    desk = Desk(monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        pool.submit(index.search, "figs", 10)
        assert desk.busy.wait(60)
        futures = [pool.submit(index.search, "figs and limes", 5, fusion=fusion) for fusion in fusions]
        while index._answer_together.waiting < 3:
            pass
        desk.go.set()
        assert [future.result() for future in futures] == expected
    assert sorted(desk.sizes) == [1, 1, 2]


def test_a_closed_index_refuses_while_others_are_ranked(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    with stub.open_index(index.path, encoder=stub.encoder(Combining())) as other:
        expected = other.search("figs", 5)
        desk = Desk(monkeypatch)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(other.search, "figs", 5)
            assert desk.busy.wait(60)
            second = pool.submit(other.search, "figs", 5)
            while not other._answer_together.waiting:
                pass
            other.close()
            with pytest.raises(QueryError, match="closed"):
                other.search("figs")
            desk.go.set()
            assert first.result() == second.result() == expected
