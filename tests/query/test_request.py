"""A request is everything one search asks for: made once, it gives what the keywords give."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import FusionSettings, QuerySettings, RerankSettings
from pipeline.errors import QueryError
from pipeline.job import build as builder
from pipeline.query.request import SearchRequest
from pipeline.query.searcher import Index, open_index
from tests.support.collection import config_for, write_documents

QUESTIONS = ["how are ranks fused?", "점수는 어떻게 합쳐지나요?"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("request")
    write_documents(folder / "documents")
    builder.build(config_for(folder))
    with open_index(folder / "index") as index:
        yield index


@dataclasses.dataclass
class Described:
    """An index as a request sees it."""

    path: Path
    legs: tuple[str, ...]
    settings: QuerySettings


DESCRIBED = Described(Path("i"), ("dense", "lexical"), QuerySettings(k=7, depth=20))


def test_what_is_not_given_comes_from_the_settings() -> None:
    assert SearchRequest.for_texts(DESCRIBED, ["a"]) == SearchRequest(
        texts=("a",), k=7, legs=("dense", "lexical"), depth=20, fusion=FusionSettings()
    )
    settings = QuerySettings(mode="lexical", rerank=RerankSettings(model="multivectors", top=9))
    other = dataclasses.replace(DESCRIBED, settings=settings)
    request = SearchRequest.for_texts(other, ["a"])
    assert (request.k, request.legs, request.rerank) == (10, ("lexical",), settings.rerank)
    assert SearchRequest.for_texts(other, ["a"], rerank="none").rerank is None


def test_queries_that_are_encoded_are_reranked_only_if_that_is_asked_for() -> None:
    settings = QuerySettings(rerank=RerankSettings(model="multivectors", top=9))
    other = dataclasses.replace(DESCRIBED, settings=settings)
    assert SearchRequest.for_legs(other, ("a",), legs=["dense"]).rerank is None
    assert SearchRequest.for_legs(other, ("a",), rerank="none").rerank is None
    assert SearchRequest.for_legs(other, ("a",), rerank="multivectors").rerank == settings.rerank


WRONG: dict[str, tuple[Any, str]] = {
    "texts": ("one", "texts='one': search_many takes a list of queries, not str; `search` takes one text"),
    "context": (-1, "context=-1: give how many chunks before and after a hit to show, or 0"),
    "explain": (1, "explain=1: give True or False"),
    "k": (0, "k=0: ask for at least one hit"),
    "mode": ("sparse", "unknown mode 'sparse'; known: hybrid, dense, lexical"),
    "fusion": ("rff", "unknown fusion"),
    "rerank": (" ", "the reranker's name is empty"),
    "rerank_top": (0, "rerank_top=0: rerank at least one chunk"),
    "where": (5, "where=5: give an SQL condition as text"),
    "distinct": (1.5, "distinct=1.5: give a similarity above 0 and up to 1, such as 0.8"),
    "collapse": ("no", "collapse='no': give True or False"),
}
"""By argument a wrong value and what is said of it, in the order in which they are looked at."""


@pytest.mark.parametrize("first", range(len(WRONG)))
def test_of_several_mistakes_the_first_is_told(first: int) -> None:
    given: dict[str, Any] = {"texts": ["a"]}
    given |= {name: value for name, (value, _) in list(WRONG.items())[first:]}
    with pytest.raises(QueryError) as error:
        SearchRequest.for_texts(DESCRIBED, **given)
    assert str(error.value).startswith(list(WRONG.values())[first][1])


def test_an_empty_text_is_told_after_the_mode_and_before_a_leg_that_is_not_there() -> None:
    other = dataclasses.replace(DESCRIBED, legs=("dense",))
    for given, mode, says in (
        (["a", " "], "sparse", "unknown mode"),
        (["a", " "], "lexical", "query 2 is empty"),
        ([" "], "lexical", "the query is empty"),
        (["a"], "lexical", "i: this index has no lexical leg; it has: dense"),
    ):
        with pytest.raises(QueryError) as error:
            SearchRequest.for_texts(other, given, mode=mode)
        assert str(error.value).startswith(says)


def test_an_option_that_is_not_known_is_refused_as_python_does(index: Index) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'filter'"):
        index.search("a", filter="b")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'context'"):
        index.rank(["a"], context=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'rerank_top'"):
        index.rank_encoded(index.encode(["a"]), rerank_top=1)  # type: ignore[call-arg]


def test_an_answer_is_what_the_keywords_give(index: Index) -> None:
    options: dict[str, Any] = {"fusion": "rrf", "collapse": True, "explain": True, "context": 1, "distinct": 0.9}
    request = SearchRequest.for_texts(index, QUESTIONS, 3, "hybrid", **options)
    assert index.answer(request) == index.search_many(QUESTIONS, 3, "hybrid", **options)
    bare = dataclasses.replace(request, explain=False, context=0, k=2)
    assert index.answer(bare) == index.search_many(QUESTIONS, 2, fusion="rrf", collapse=True, distinct=0.9)
    assert index.answer(SearchRequest.for_texts(index, [])) == []


def test_an_answer_depends_on_the_request_alone(index: Index) -> None:
    request = SearchRequest.for_texts(index, QUESTIONS, 3)
    usual, before = index.answer(request), index.settings
    try:
        index.settings = QuerySettings(k=1, mode="lexical", depth=1, fusion=FusionSettings(method="rrf"))
        assert index.answer(request) == usual
    finally:
        index.settings = before


def test_queries_encoded_before_give_the_same_ranking_and_must_be_those_of_the_request(index: Index) -> None:
    request = SearchRequest.for_texts(index, QUESTIONS, 3)
    for one, other in zip(
        index.rank_request(request), index.rank_request(request, index.encode(QUESTIONS)), strict=True
    ):
        assert np.array_equal(one.ids[one.order], other.ids[other.order])
        assert np.array_equal(one.scores, other.scores)
    with pytest.raises(QueryError, match="queries: these are not the texts of the request"):
        index.rank_request(request, index.encode(QUESTIONS[:1]))


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"k": 0},
            {"texts": "a"},
            {"texts": (5,)},
            {"context": -1},
            {"explain": 1},
            {"where": 5},
            {"distinct": 2},
        ),
        *({"collapse": None}, {"fusion": "rrf"}, {"fusion": None}, {"rerank": "none"}, {"depth": 0}),
        *({"legs": ()}, {"legs": "dense"}),
    ],
    ids=str,
)
def test_a_request_is_checked_however_it_is_made(changes: dict[str, Any]) -> None:
    request = SearchRequest.for_texts(DESCRIBED, ["a"])
    with pytest.raises(QueryError, match="|".join(["text", *changes])):
        dataclasses.replace(request, **changes)


def test_a_request_holds_plain_values() -> None:
    request = SearchRequest.for_texts(DESCRIBED, ["a"])
    given: dict[str, Any] = {"texts": ["a", "b"], "k": np.int64(3), "distinct": 1, "collapse": np.bool_(True)}
    found = dataclasses.replace(request, **given)
    assert (found.texts, found.k, found.distinct, found.collapse) == (("a", "b"), 3, 1.0, True)
    assert dataclasses.replace(request, rerank=RerankSettings(model="none")).rerank is None
    assert [type(one) for one in (found.k, found.distinct, found.collapse)] == [int, float, bool]


def test_a_request_for_a_leg_that_the_index_has_not_is_refused(index: Index) -> None:
    request = dataclasses.replace(SearchRequest.for_texts(index, QUESTIONS), legs=("dense", "visual"))
    with pytest.raises(QueryError, match="this index has no visual leg"):
        index.answer(request)


def test_every_option_of_a_search_is_described(index: Index) -> None:
    described = inspect.getdoc(Index.search_many) or ""
    names = [name for name in WRONG if name not in ("texts",)]
    assert [name for name in names if f"`{name}`" not in described] == []
