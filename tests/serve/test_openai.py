"""OpenAI's own client, pointed at the service, works."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from pipeline.config import Config
from pipeline.query.searcher import Index
from tests.faults import stub
from tests.support.collection import config_for, write_documents
from tests.support.live import Live, serving


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[openai.OpenAI]:
    """The client."""
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_a_vector_store_is_searched(client: openai.OpenAI, index: Index) -> None:
    page = client.vector_stores.search("first", query="plums and pears", max_num_results=4)
    hits = index.search("plums and pears", 4)
    assert [(one.file_id, one.score) for one in page.data] == [(hit.doc_id, hit.score) for hit in hits]
    assert [one.content[0].text for one in page.data] == [hit.text for hit in hits]
    assert page.data[0].filename
    assert not page.has_next_page()


def test_its_filters_are_applied_before_ranking(client: openai.OpenAI) -> None:
    def ids(filters: Any) -> set[str]:
        return {one.file_id for one in client.vector_stores.search("first", query="pears", filters=filters)}

    assert ids({"type": "eq", "key": "lang", "value": "ko"}) == {"ko/1"}
    assert ids({"type": "gte", "key": "year", "value": 2023}) == {"ko/1", "it's"}
    assert ids({"type": "eq", "key": "doc_id", "value": "it's"}) == {"it's"}
    both: Any = [{"type": "in", "key": "tags", "value": ["a'b", "x"]}, {"type": "ne", "key": "lang", "value": "ko"}]
    assert ids({"type": "and", "filters": both}) == {"it's"}
    with pytest.raises(openai.UnprocessableEntityError, match="attribute"):
        ids({"type": "eq", "key": "x' or true --", "value": "ko"})


def test_several_queries_give_one_list(client: openai.OpenAI, index: Index) -> None:
    queries = ["plums", "사과"]
    page = client.vector_stores.search("first", query=queries, max_num_results=5)
    scores: dict[str, float] = {}
    for hits in index.search_many(queries, 5):
        for hit in hits:
            scores[hit.chunk_id] = max(scores.get(hit.chunk_id, hit.score), hit.score)
    assert [one.score for one in page.data] == sorted(scores.values(), reverse=True)[:5]


def test_a_threshold_leaves_out_what_scores_less(client: openai.OpenAI, index: Index) -> None:
    scores = [hit.score for hit in index.search("plums", 10)]
    options: Any = {"score_threshold": scores[3], "ranker": "none"}
    page = client.vector_stores.search("first", query="plums", ranking_options=options)
    assert [one.score for one in page.data] == [score for score in scores if score >= scores[3]]


def test_what_the_service_cannot_do_it_says(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.search("third", query="x")
    with pytest.raises(openai.UnprocessableEntityError, match="rewrite_query"):
        client.vector_stores.search("first", query="x", rewrite_query=True)
    with pytest.raises(openai.UnprocessableEntityError, match="max_num_results"):
        client.vector_stores.search("first", query="x", max_num_results=51)


def test_embeddings_are_the_encoders(client: openai.OpenAI, index: Index) -> None:
    texts = ["plums", "사과와 배"]
    wanted = index.encoder.encode_documents(texts).dense
    assert wanted is not None
    answer = client.embeddings.create(input=texts, model="first")  # the client asks for base64
    assert [one.index for one in answer.data] == [0, 1]
    for one, row in zip(answer.data, wanted, strict=True):
        assert np.array_equal(np.array(one.embedding, np.float32), row)
    plain = client.embeddings.create(input="plums", model="second", encoding_format="float")
    assert np.array_equal(np.array(plain.data[0].embedding, np.float32), wanted[0])
    assert plain.model == "second"


def test_embeddings_of_another_model_are_refused(client: openai.OpenAI, live: Live) -> None:
    with pytest.raises(openai.NotFoundError, match="it has first"):
        client.embeddings.create(input="x", model="text-embedding-3-small")
    with pytest.raises(openai.UnprocessableEntityError, match="have 32"):
        client.embeddings.create(input="x", model="first", dimensions=256)
    with pytest.raises(openai.UnprocessableEntityError):
        client.embeddings.create(input=[1, 2, 3], model="first")
    live.refused("POST", "/v1/embeddings", 422, json={"input": ["x"] * 257, "model": "first"})
    raw = live.post("/v1/embeddings", {"input": "x", "model": "first", "encoding_format": "base64"})
    assert len(base64.b64decode(raw["data"][0]["embedding"])) == 4 * 32


def test_queries_may_be_embedded_otherwise(live: Live, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, _) = live.service.holders.values()
    with first.lent() as served:
        real = served.encoder.encode_queries
        monkeypatch.setattr(
            served.encoder, "encode_queries", lambda texts: real([f"query: {one}" for one in texts])
        )
    asked = {"input": "plums", "model": "first", "input_type": "query"}
    wanted = index.encoder.encode_documents(["query: plums"]).dense
    assert wanted is not None
    assert live.post("/v1/embeddings", asked)["data"][0]["embedding"] == wanted[0].tolist()


def test_reranking_orders_documents(live: Live, index: Index) -> None:
    documents = ["pears", "a document about apples", "plums"]
    answer = live.post("/v1/rerank", {"query": "plums", "documents": documents, "model": "multivectors"})
    scores = index.rerank("plums", documents, "multivectors")
    order = sorted(range(3), key=lambda i: -scores[i])
    assert [(one["index"], one["relevance_score"]) for one in answer["results"]] == [(i, scores[i]) for i in order]
    assert answer["results"][0]["index"] == 2
    best = live.post(
        "/v1/rerank",
        {"query": "plums", "documents": [{"text": one} for one in documents], "top_n": 1, "return_documents": True},
    )
    assert best["results"] == [{**answer["results"][0], "document": {"text": "plums"}}]
    live.refused("POST", "/v1/rerank", 404, json={"query": "x", "documents": ["x"], "model": "rerank-v3.5"})
    live.refused("POST", "/v1/rerank", 422, json={"query": "x", "documents": []})


def test_a_configured_cross_encoder_reranks_and_scores_lie_between_0_and_1(
    built: Config, tmp_path: Path, live: Live
) -> None:
    pytest.importorskip("openvino")
    from tests.models.tiny import save_cross_encoder

    save_cross_encoder(tmp_path / "tiny")
    rerank = {"model": str(tmp_path / "tiny"), "top": 5}
    settings = built.query.model_copy(update={"rerank": type(built.query.rerank)(**rerank)})
    with stub.open_index(built.index_path, settings=settings) as opened, serving({"only": opened}) as other:
        documents = ["one", "two words", "and three words"]
        answer = other.post("/v1/rerank", {"query": "words", "documents": documents, "model": "tiny"})
        scores = opened.rerank("words", documents)
        for one in answer["results"]:
            assert one["relevance_score"] == pytest.approx(1 / (1 + np.exp(-scores[one["index"]])))
            assert 0 < one["relevance_score"] < 1
        assert answer["model"] == "tiny"
        assert "tmp" not in str(answer)


def test_an_index_without_vectors_embeds_nothing(tmp_path: Path) -> None:
    from pipeline import build, open_index

    write_documents(tmp_path / "documents")
    config = config_for(tmp_path, encoder={"model": "none"})
    build(config)
    with open_index(config.index_path) as lexical, serving({"words": lexical}) as live:
        live.refused("POST", "/v1/embeddings", 404, json={"input": "x", "model": "words"})
        live.refused("POST", "/v1/rerank", 404, json={"query": "x", "documents": ["x"]})
