"""The LlamaIndex retriever carries what `Index.search` gives, and works inside a query engine."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import MetadataMode, NodeRelationship, NodeWithScore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from pipeline.errors import ConfigError, QueryError
from pipeline.integrations.conditions import OPERATORS
from pipeline.integrations.llama_index import HybridQuery, HybridRetriever, metadata_condition
from pipeline.integrations.metadata import hit_metadata
from pipeline.query.searcher import Index
from tests.integrations.search_server import SearchServer

QUERY = "how do I roll back a bad build?"


def filters(*parts: Any, condition: str = "and") -> MetadataFilters:
    return MetadataFilters(filters=list(parts), condition=FilterCondition(condition))


KOREAN = MetadataFilter(key="lang", value="ko")


def ids(nodes: list[NodeWithScore]) -> list[str]:
    return [one.node.node_id for one in nodes]


def test_nodes_are_the_hits_with_every_score(index: Index) -> None:
    hits = index.search(QUERY, 4, explain=True)
    found = HybridRetriever(index, k=4, explain=True).retrieve(QUERY)
    for one, hit in zip(found, hits, strict=True):
        assert (one.node.node_id, one.node.get_content(), one.score) == (hit.chunk_id, hit.text, hit.score)
        assert one.node.metadata == hit_metadata(hit)
        assert (one.node.start_char_idx, one.node.end_char_idx) == (hit.start, hit.end)
        assert one.node.relationships[NodeRelationship.SOURCE].node_id == hit.doc_id


def test_a_language_model_is_shown_no_scores(index: Index) -> None:
    (one,) = HybridRetriever(index, k=1).retrieve(QUERY)
    shown = one.node.get_content(metadata_mode=MetadataMode.LLM)
    assert "source: " in shown
    assert "lang: en" in shown
    assert "headings: ['" in shown
    assert "legs" not in shown
    assert "legs" not in one.node.get_content(metadata_mode=MetadataMode.EMBED)


def test_a_query_says_otherwise_and_the_next_one_does_not(index: Index) -> None:
    retriever = HybridRetriever(index, k=3)
    plain = ids(retriever.retrieve(QUERY))
    query = HybridQuery(QUERY, k=5, mode="dense", filters=filters(KOREAN), where="year > 2024")
    (korean,) = retriever.retrieve(query)
    assert (korean.node.metadata["lang"], korean.node.metadata["year"]) == ("ko", 2025)
    assert korean.node.metadata["legs"].keys() == {"dense"}
    assert ids(retriever.retrieve(QUERY)) == plain
    assert len(plain) == 3


async def test_asynchronous_calls_and_a_service_find_the_same(index: Index, server: SearchServer) -> None:
    retriever = HybridRetriever(index, filters=filters(KOREAN))
    remote = HybridRetriever(url=server.url, filters=filters(KOREAN))
    assert await retriever.aretrieve(QUERY) == retriever.retrieve(QUERY) == remote.retrieve(QUERY)
    assert {one.node.metadata["lang"] for one in await remote.aretrieve(QUERY)} == {"ko"}


@pytest.mark.parametrize(
    ("given", "years"),
    [
        (filters(KOREAN), {2024, 2025}),
        (filters(KOREAN, MetadataFilter(key="year", operator=FilterOperator.GT, value=2024)), {2025}),
        (filters(KOREAN, MetadataFilter(key="year", value=2020), condition="or"), {2020, 2024, 2025}),
        (filters(filters(KOREAN), condition="not"), {2020, 2021, 2022, 2023}),
        (filters(MetadataFilter(key="year", operator=FilterOperator.IN, value=[2021, 2099])), {2021}),
        (
            filters(MetadataFilter(key="year", operator=FilterOperator.NIN, value=[2021])),
            {2020, 2022, 2023, 2024, 2025},
        ),
        (filters(MetadataFilter(key="lang", operator=FilterOperator.TEXT_MATCH, value="k")), {2024, 2025}),
        (filters(), {2020, 2021, 2022, 2023, 2024, 2025}),
    ],
)
def test_filters(index: Index, given: MetadataFilters, years: set[int]) -> None:
    found = HybridRetriever(index, filters=given, mode="dense").retrieve(QUERY)
    assert {one.node.metadata["year"] for one in found} == years


def test_every_operator_has_a_meaning() -> None:
    for one in FilterOperator:
        value = "a" if one.value.startswith("text") else ["a"] if one.value in ("in", "nin", "any", "all") else 1
        assert metadata_condition(filters(MetadataFilter(key="x", operator=one, value=value)))
    assert {"not in" if one is FilterOperator.NIN else one.value for one in FilterOperator} <= OPERATORS.keys()


def test_what_makes_no_sense_is_refused(index: Index) -> None:
    with pytest.raises(ConfigError, match="give index="):
        HybridRetriever()
    with pytest.raises(TypeError, match="unexpected keyword argument 'top_k'"):
        HybridRetriever(index, top_k=3)  # type: ignore[call-arg]
    with pytest.raises(QueryError, match="k=0"):
        HybridRetriever(index, k=0).retrieve(QUERY)


@pytest.mark.parametrize("given", [{"lang": "ko"}, [KOREAN], "lang = 'ko'", KOREAN])
def test_filters_of_another_kind_are_refused_with_what_to_write(index: Index, given: Any) -> None:
    """A dictionary, as other frameworks take it, is not guessed at."""
    with pytest.raises(
        QueryError, match=r"filters=.*: give MetadataFilters\(filters=\[.*, or a condition as where="
    ):
        HybridRetriever(index, filters=given)
    with pytest.raises(QueryError, match="give MetadataFilters"):
        HybridRetriever(index).retrieve(HybridQuery(QUERY, filters=given))


def test_a_query_engine_answers_from_what_was_found(index: Index) -> None:
    engine = RetrieverQueryEngine(
        HybridRetriever(index, k=2), response_synthesizer=get_response_synthesizer(llm=MockLLM())
    )
    response = engine.query(HybridQuery(QUERY, where="lang = 'en'"))
    hits = index.search(QUERY, 2, where="lang = 'en'")
    assert ids(response.source_nodes) == [hit.chunk_id for hit in hits]
    assert all(hit.text in str(response) for hit in hits)  # the model that is none repeats its prompt
