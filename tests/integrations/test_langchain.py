"""The LangChain adapters pass LangChain's own tests, and carry what `Index.search` gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnablePassthrough
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from pydantic import BaseModel, ValidationError

from pipeline.errors import ConfigError, QueryError
from pipeline.integrations.langchain import HybridEmbeddings, HybridRetriever
from pipeline.query.searcher import Index
from tests.integrations.search_server import SearchServer

QUERY = "how do I roll back a bad build?"


class TestRetrieverStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _opened(self, index: Index) -> None:
        self.index = index

    @property
    def retriever_constructor(self) -> type[HybridRetriever]:
        return HybridRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"index": self.index}

    @property
    def retriever_query_example(self) -> str:
        return QUERY


class TestRemoteRetrieverStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _served(self, server: SearchServer) -> None:
        self.url = server.url

    @property
    def retriever_constructor(self) -> type[HybridRetriever]:
        return HybridRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"url": self.url, "k": 2}

    @property
    def retriever_query_example(self) -> str:
        return QUERY


class TestEmbeddingsStandard(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _opened(self, index: Index) -> None:
        self.index = index

    @property
    def embeddings_class(self) -> type[HybridEmbeddings]:
        return HybridEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"index": self.index}


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_documents_are_the_hits_with_every_score(index: Index) -> None:
    hits = index.search(QUERY, 4, explain=True, context=1)
    documents = HybridRetriever(index=index, k=4, explain=True, context=1).invoke(QUERY)
    for document, hit in zip(documents, hits, strict=True):
        assert (document.id, document.page_content) == (hit.chunk_id, hit.text)
        found = document.metadata
        assert (found["doc_id"], found["start"], found["end"]) == (hit.doc_id, hit.start, hit.end)
        assert (found["rank"], found["score"], found["headings"]) == (hit.rank, hit.score, list(hit.headings))
        assert found["legs"].keys() == hit.legs.keys() == {"dense", "lexical"}
        for name, leg in hit.legs.items():
            assert found["legs"][name]["score"] == leg.score
            assert found["legs"][name]["rank"] == leg.rank
            assert found["legs"][name]["contribution"] == leg.contribution
        assert (found["before"], found["after"]) == (hit.before, hit.after)
        assert len(found.get("matches", ())) == len(hit.matches)


def test_a_call_says_otherwise_and_the_next_one_does_not(index: Index) -> None:
    retriever = HybridRetriever(index=index, k=2)
    plain = ids(retriever.invoke(QUERY))
    korean = retriever.invoke(QUERY, k=5, where="lang = 'ko'", mode="dense")
    assert {document.metadata["lang"] for document in korean} == {"ko"}
    assert all(document.metadata["legs"].keys() == {"dense"} for document in korean)
    assert len(korean) == 2 == len(plain)
    assert ids(retriever.invoke(QUERY)) == plain


def test_a_service_gives_the_same_documents(index: Index, server: SearchServer) -> None:
    arguments: dict[str, Any] = {
        "k": 3,
        "explain": True,
        "context": 1,
        "highlights": True,
        "merge": True,
        "boosts": ["1.5 if ordinal = 0"],
    }
    remote = HybridRetriever(url=server.url, api_key="a-secret-key", **arguments)
    assert remote.invoke(QUERY) == HybridRetriever(index=index, **arguments).invoke(QUERY)
    assert "a-secret-key" not in repr(remote)


async def test_asynchronous_calls_find_the_same(index: Index) -> None:
    retriever = HybridRetriever(index=index)
    assert await retriever.ainvoke(QUERY, k=3, mode="lexical") == retriever.invoke(QUERY, k=3, mode="lexical")
    batch = await retriever.abatch([QUERY, "토큰"])
    assert batch == [retriever.invoke(QUERY), retriever.invoke("토큰")]


def test_a_path_will_do(index: Index) -> None:
    for path in (index.path, str(index.path)):
        assert ids(HybridRetriever(index=path).invoke(QUERY)) == ids(HybridRetriever(index=index).invoke(QUERY))


def test_what_makes_no_sense_is_refused(index: Index) -> None:
    with pytest.raises(ConfigError, match="give index="):
        HybridRetriever()
    with pytest.raises(TypeError, match="unexpected keyword argument 'top_k'; known: api_key, boosts, collapse"):
        HybridRetriever(index=index, top_k=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="unknown mode 'fuzzy'; known: hybrid, dense, lexical") as refused:
        HybridRetriever(url="http://127.0.0.1:1", api_key="a-secret-key", mode="fuzzy")
    assert "a-secret-key" not in str(refused.value)
    with pytest.raises(ValidationError, match="now"):
        HybridRetriever(index=index, now=2026)  # type: ignore[arg-type]
    retriever = HybridRetriever(index=index)
    with pytest.raises(TypeError, match="unexpected keyword argument 'top_k'; known: boosts, collapse, context"):
        retriever.invoke(QUERY, top_k=3)
    with pytest.raises(QueryError, match="k=0"):
        retriever.invoke(QUERY, k=0)
    with pytest.raises(QueryError, match="empty"):
        retriever.invoke(" ")


def test_a_retriever_can_be_a_field_be_named_and_be_made_configurable(index: Index) -> None:
    class Assistant(BaseModel):
        retriever: HybridRetriever

    retriever = HybridRetriever(index=index, k=1, name="handbook", tags=["docs"], metadata={"team": "search"})
    assert Assistant(retriever=retriever).retriever is retriever
    wider = retriever.configurable_fields(k=ConfigurableField(id="k"))
    assert len(wider.invoke(QUERY, {"configurable": {"k": 3}})) == 3


def test_embeddings_are_the_encoders(index: Index) -> None:
    embeddings = HybridEmbeddings(index=index)
    texts = ["rolling back", "토큰"]
    expected = index.encoder.encode_documents(texts).dense
    assert expected is not None
    np.testing.assert_array_equal(np.float32(embeddings.embed_documents(texts)), expected)
    queries = index.encoder.encode_queries(texts[:1]).dense
    assert queries is not None
    np.testing.assert_array_equal(np.float32(embeddings.embed_query(texts[0])), queries[0])
    assert embeddings.embed_documents([]) == []
    for wrong in ("abc", [1]):
        with pytest.raises(QueryError, match=r"texts=.*: give a list of texts"):
            embeddings.embed_documents(wrong)  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="text=None: give a query as str"):
        embeddings.embed_query(None)  # type: ignore[arg-type]


def test_a_chain_answers_from_what_was_found(index: Index) -> None:
    seen: list[Any] = []

    def keep(prompt: Any) -> Any:
        seen.append(prompt.to_string())
        return prompt

    def joined(documents: list[Document]) -> str:
        return "\n\n".join(f"[{one.metadata['doc_id']}] {one.page_content}" for one in documents)

    prompt = ChatPromptTemplate.from_template("Context:\n{context}\n\nQuestion: {question}")
    retriever = HybridRetriever(index=index, k=2)
    chain = (
        {"context": retriever | joined, "question": RunnablePassthrough()}
        | prompt
        | keep
        | FakeListChatModel(responses=["publish the one before"])
        | StrOutputParser()
    )
    assert chain.invoke(QUERY) == "publish the one before"
    hits = index.search(QUERY, 2)
    assert [f"[{hit.doc_id}] {hit.text}" in seen[0] for hit in hits] == [True, True]
