"""The Haystack component passes Haystack's own tests of filters, and carries what `Index.search` gives."""

from __future__ import annotations

import ast
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.retrievers.types import TextRetriever
from haystack.errors import FilterError
from haystack.testing.document_store import FilterDocumentsTest
from haystack.utils import Secret

from pipeline.config import FusionSettings
from pipeline.errors import ConfigError, QueryError
from pipeline.integrations.haystack import HybridTextRetriever, filter_condition
from pipeline.integrations.metadata import hit_metadata
from pipeline.integrations.service import KEY_VARIABLE
from pipeline.job import build as builder
from pipeline.query.access import ALL_GROUPS, WantedGroups
from pipeline.query.searcher import Index, open_index
from tests.integrations.search_server import SearchServer
from tests.support.collection import config_for

QUERY = "how do I roll back a bad build?"
KOREAN = {"field": "meta.lang", "operator": "==", "value": "ko"}


class Store:
    """As much of a document store as the tests of filters need, made of an index and the retriever."""

    built: dict[str, Index] = {}  # noqa: RUF012 - the tests write the same documents again and again

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._documents: list[Document] = []

    def write_documents(self, documents: list[Document]) -> None:
        self._documents = documents
        rows = [{"text": one.content, **one.meta} for one in documents]
        self._key = json.dumps(rows, sort_keys=True)
        if self._key not in self.built:
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            (folder / "documents").mkdir()
            lines = [json.dumps({"id": str(i), **row}) for i, row in enumerate(rows)]
            (folder / "documents/all.jsonl").write_text("\n".join(lines), "utf-8")
            config = config_for(folder)
            builder.build(config)
            self.built[self._key] = open_index(config.index_path)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        if not self._documents:
            return []
        retriever = HybridTextRetriever(self.built[self._key], top_k=len(self._documents), mode="dense")
        found = retriever.run("document", filters)["documents"]
        return [self._documents[i] for i in sorted(int(one.meta["doc_id"]) for one in found)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("haystack")
    for index in Store.built.values():
        index.close()
    Store.built.clear()


class TestFiltersStandard(FilterDocumentsTest):
    @pytest.fixture
    def document_store(self, folder: Path) -> Store:
        return Store(folder)


def test_documents_are_the_hits_with_every_score(index: Index) -> None:
    retriever: TextRetriever = HybridTextRetriever(index, top_k=4, explain=True, context=1)
    found = retriever.run(QUERY)["documents"]
    for document, hit in zip(found, index.search(QUERY, 4, explain=True, context=1), strict=True):
        assert (document.id, document.content, document.score) == (hit.chunk_id, hit.text, hit.score)
        assert document.meta == hit_metadata(hit)


def test_a_call_says_otherwise_and_the_next_one_does_not(index: Index) -> None:
    retriever = HybridTextRetriever(index, top_k=3)
    plain = retriever.run(QUERY)
    found = retriever.run(QUERY, KOREAN, 5, mode="dense", where="year > 2024")["documents"]
    assert [(one.meta["lang"], one.meta["year"], list(one.meta["legs"])) for one in found] == [
        ("ko", 2025, ["dense"])
    ]
    assert retriever.run(QUERY) == plain
    assert len(plain["documents"]) == 3


async def test_asynchronous_calls_and_a_service_find_the_same(index: Index, server: SearchServer) -> None:
    retriever = HybridTextRetriever(index, filters=KOREAN)
    remote = HybridTextRetriever(url=server.url, api_key=Secret.from_token("a-secret-key"), filters=KOREAN)
    found = retriever.run(QUERY)
    assert await retriever.run_async(QUERY) == found == remote.run(QUERY) == await remote.run_async(QUERY)
    assert {one.meta["lang"] for one in found["documents"]} == {"ko"}
    assert server.seen[0][1]["Authorization"] == "Bearer a-secret-key"


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"field": "meta.x", "operator": "~", "value": 1}, "unknown operator '~'"),
        ({"field": "content", "operator": "==", "value": 1}, "filters are about metadata"),
        ({"operator": "XOR", "conditions": []}, "unknown logical operator 'XOR'"),
        ({"operator": "AND", "conditions": ["x"]}, "'x' is no dictionary"),
        ({"operator": ["AND"], "conditions": []}, r"unknown logical operator \['AND'\]"),
        ({"operator": "AND", "conditions": None}, "'conditions' is a list of filters, not None"),
        ({"operator": "AND", "conditions": KOREAN}, "'conditions' is a list of filters, not {"),
        ({"field": 3, "operator": "==", "value": 1}, "'field' is a text such as 'meta.lang', not 3"),
        ({"field": "meta.x", "operator": ["=="], "value": 1}, r"unknown operator \['=='\]"),
        ({"lang": "ko"}, "'operator' key missing in {'lang': 'ko'}; write {'field': 'meta.lang', 'operator': '=='"),
        ({"field": "meta.x", "operator": ">", "value": "tomorrow"}, "compares numbers and dates"),
    ],
)
def test_filters_that_make_no_sense(filters: dict[str, Any], words: str, index: Index) -> None:
    with pytest.raises(FilterError, match=words):
        filter_condition(filters)
    with pytest.raises(FilterError, match=words):
        HybridTextRetriever(index, filters=filters)


def test_the_filter_that_errors_show_can_be_written(index: Index) -> None:
    with pytest.raises(FilterError) as refused:
        filter_condition({"lang": "ko"})
    shown = ast.literal_eval(str(refused.value).split("; write ")[1])
    found = HybridTextRetriever(index, filters=shown, mode="dense").run(QUERY)["documents"]
    assert {one.meta["lang"] for one in found} == {"ko"}


def test_names_of_fields(index: Index) -> None:
    retriever = HybridTextRetriever(index, mode="dense")
    for field in ("id", "meta.chunk_id"):
        found = retriever.run(QUERY, {"field": field, "operator": "==", "value": "en/bm25.md#0"})
        assert [one.id for one in found["documents"]] == ["en/bm25.md#0"]
    assert len(retriever.run(QUERY, {"field": "lang", "operator": "==", "value": "ko"})["documents"]) == 2


def test_a_component_survives_being_written_down(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a-secret-key")
    made = HybridTextRetriever(
        index, filters=KOREAN, top_k=2, where="year > 2020", fusion=FusionSettings(method="rrf", rrf_k=10.0)
    )
    pipeline = Pipeline()
    pipeline.add_component("retriever", made)
    text = pipeline.dumps()
    assert "a-secret-key" not in text
    again = Pipeline.loads(text, allowed_modules=[HybridTextRetriever.__module__])
    assert again.get_component("retriever").to_dict() == made.to_dict()
    expected = pipeline.run({"retriever": {"query": QUERY}})
    assert again.run({"retriever": {"query": QUERY}}) == expected
    assert len(expected["retriever"]["documents"]) == 2


@pytest.mark.parametrize("groups", [None, ["hr", "staff"], ALL_GROUPS])
def test_the_readers_groups_are_written_down(groups: WantedGroups) -> None:
    made = HybridTextRetriever("folder", groups=groups)
    again = HybridTextRetriever.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again.parameters == made.parameters


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    nowhere = HybridTextRetriever(str(tmp_path / "index"))
    with pytest.raises(Exception, match="no index"):
        nowhere.warm_up()
    with pytest.raises(ConfigError, match="give index="):
        HybridTextRetriever().run(QUERY)


def test_a_search_that_makes_no_sense(index: Index) -> None:
    with pytest.raises(QueryError, match="k=0"):
        HybridTextRetriever(index).run(QUERY, top_k=0)


def test_a_key_is_a_secret() -> None:
    with pytest.raises(ConfigError, match="api_key: give a Secret") as refused:
        HybridTextRetriever(url="http://127.0.0.1:1", api_key="a-plain-key")  # type: ignore[arg-type]
    assert "a-plain-key" not in str(refused.value)


def test_a_pipeline_passes_documents_on(index: Index) -> None:
    pipeline = Pipeline()
    pipeline.add_component("retriever", HybridTextRetriever(index, top_k=2))
    template = "{% for one in documents %}[{{ one.meta.doc_id }}] {{ one.content }}\n{% endfor %}{{ question }}"
    pipeline.add_component("prompt", PromptBuilder(template, required_variables=["documents", "question"]))
    pipeline.connect("retriever.documents", "prompt.documents")
    prompt = pipeline.run({"retriever": {"query": QUERY}, "prompt": {"question": QUERY}})["prompt"]["prompt"]
    hits = index.search(QUERY, 2)
    assert prompt == "".join(f"[{hit.doc_id}] {hit.text}\n" for hit in hits) + QUERY
