"""What one call changes of what an adapter was made with."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QueryError
from pipeline.integrations.parameters import CallOptions, SearchParameters
from pipeline.query.request import SearchOptions
from pipeline.query.searcher import Index

VALUES = st.dictionaries(st.sampled_from(sorted(CallOptions.__annotations__)), st.none() | st.integers(1, 9))


def test_every_argument_of_a_search_is_there() -> None:
    assert CallOptions.__annotations__.keys() == {"k", "mode", "groups"} | SearchOptions.__annotations__.keys()
    assert SearchParameters.__annotations__.keys() == CallOptions.__annotations__.keys()


@given(VALUES, VALUES)
def test_a_call_wins_where_it_says_something(made: dict[str, int | None], call: dict[str, int | None]) -> None:
    said = SearchParameters(**made).changed(call).said()  # type: ignore[arg-type]
    for name in CallOptions.__annotations__:
        expected = made.get(name) if call.get(name) is None else call[name]
        assert said.get(name) == (None if name == "groups" else expected)
    assert None not in said.values()


def test_false_is_something_to_say() -> None:
    assert SearchParameters(collapse=True).changed({"collapse": False}).said() == {"collapse": False}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'filter'"):
        SearchParameters().changed({"filter": "x"})


SENSELESS: list[dict[str, Any]] = [
    {"mode": "fuzzy"},
    {"k": 0},
    {"fusion": "rff"},
    {"fusion": {"metod": "rrf"}},
    {"rerank": " "},
    {"rerank_top": 0},
    {"distinct": 3.0},
    {"context": -1},
    {"where": 1},
    {"group": "lang"},
    {"group_size": 2},
    {"merge": True, "collapse": True},
    {"boosts": ["lang"]},
]


@pytest.mark.parametrize("given", SENSELESS, ids=str)
def test_what_every_search_refuses_is_refused_before_there_is_an_index(given: dict[str, Any], index: Index) -> None:
    """In the same words, by all three adapters, so that a wrong setting shows where it was written."""
    from pipeline.integrations import haystack, langchain, llama_index

    with pytest.raises(QueryError) as refused:
        index.search("a text", **given)
    words = re.escape(str(refused.value))
    with pytest.raises(QueryError, match=words):
        SearchParameters(**given).checked()
    with pytest.raises(QueryError, match=words):
        llama_index.HybridRetriever("nowhere", **given)
    with pytest.raises(QueryError, match=words):
        haystack.HybridTextRetriever("nowhere", **{{"k": "top_k"}.get(name, name): given[name] for name in given})
    if "where" not in given:  # pydantic tells itself what is no text
        with pytest.raises(ValueError, match=words):
            langchain.HybridRetriever(index="nowhere", **given)


def test_a_service_may_have_methods_of_fusion_that_this_process_has_not() -> None:
    from pipeline.integrations import haystack, langchain, llama_index

    url = "http://127.0.0.1:9"
    assert langchain.HybridRetriever(url=url, fusion="largest").fusion == "largest"
    llama_index.HybridRetriever(url=url, fusion="largest")
    haystack.HybridTextRetriever(url=url, fusion="largest")
    with pytest.raises(QueryError, match="unknown mode"):
        llama_index.HybridRetriever(url=url, fusion="largest", mode="fuzzy")


@pytest.mark.parametrize(
    "given", [{}, {"k": 3, "mode": "dense", "fusion": "rrf", "group": "doc_id", "group_size": 2}]
)
def test_what_makes_sense_passes_as_it_is(given: dict[str, Any], index: Index) -> None:
    assert SearchParameters(**given).checked() == SearchParameters(**given)
    assert index.search("a text", **given) is not None
