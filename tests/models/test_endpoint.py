"""What each protocol is sent, what comes back, how requests are cut, and what is kept."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from pipeline.models.endpoint.encoders import EndpointEncoder, endpoint_encoder
from pipeline.models.endpoint.settings import EndpointProtocol, EndpointSettings
from tests.models.endpoint_server import (
    DIMENSION,
    INFO,
    PROTOCOLS,
    TEXTS,
    EndpointServer,
    Fault,
    Made,
    error_of,
    expected,
    unit,
    weights,
)
from tests.models.endpoint_server import running_fixture as running_fixture
from tests.models.endpoint_server import server_fixture as server_fixture


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_vectors_come_back_in_order_and_normalised(server: EndpointServer, protocol: EndpointProtocol) -> None:
    vectors = Made(server, protocol).dense(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert len(server.posts) == 5
    assert set(server.answered.values()) == {1}


SENTENCES = [
    "안녕, 만나서 반가워.",
    "LangChain simplifies the process of building applications with large language models",
    "랭체인 한국어 튜토리얼은 LangChain의 공식 문서, cookbook 및 다양한 실용 예제를 바탕으로 하여 "
    "사용자가 LangChain을 더 쉽고 효과적으로 활용할 수 있도록 구성되어 있습니다. ",
    "LangChain은 초거대 언어모델로 애플리케이션을 구축하는 과정을 단순화합니다.",
    "Retrieval-Augmented Generation (RAG) is an effective technique for improving AI responses.",
]
QUESTION = "LangChain 에 대해서 알려주세요."


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_tutorial_sentences(server: EndpointServer, protocol: EndpointProtocol) -> None:
    encoder = Made(server, protocol, query_instruction="Instruct: answer\nQuery: ").encoder
    documents, queries = encoder.encode_documents(SENTENCES).dense, encoder.encode_queries([QUESTION]).dense
    assert documents is not None
    assert queries is not None
    assert documents.shape == (5, DIMENSION)
    scores = expected(SENTENCES) @ unit("Instruct: answer\nQuery: " + QUESTION)
    assert (documents @ queries[0]).argsort().tolist() == scores.argsort().tolist()


def test_what_each_protocol_sends(server: EndpointServer) -> None:
    for protocol in PROTOCOLS:
        Made(server, protocol).dense(["one", "two"])
    sparse = Made(server, leg="lexical")
    server.info = None
    sparse.encoder.encode_documents(["one"])
    plain = {"inputs": ["one", "two"], "normalize": True, "truncate": True}
    assert [(path, body) for path, _, body in server.posts] == [
        ("/models/test/model/pipeline/feature-extraction", plain),
        ("/embed", plain),
        ("/v1/embeddings", {"model": "test/model", "input": ["one", "two"], "encoding_format": "float"}),
        ("/embed_sparse", {"inputs": ["one"], "truncate": True}),
    ]


def test_hugging_face_request_is_the_one_of_its_own_client() -> None:
    from huggingface_hub.inference._providers.hf_inference import HFInferenceFeatureExtractionTask

    task = HFInferenceFeatureExtractionTask()
    ours = EndpointSettings("BAAI/bge-m3", "huggingface")
    assert task._prepare_url("", "BAAI/bge-m3") == ours.encode_url
    encoder = EndpointEncoder(ours)
    assert encoder._payload(["a"]) == task._prepare_payload_as_dict(
        ["a"], {"normalize": True, "truncate": True, "prompt_name": None}, None
    )


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("", "https://api.openai.com/v1/embeddings"),
        ("http://localhost:8000", "http://localhost:8000/v1/embeddings"),
        ("http://localhost:8000/", "http://localhost:8000/v1/embeddings"),
        ("https://host/openai/v1/", "https://host/openai/v1/embeddings"),
        ("https://host/v1/embeddings", "https://host/v1/embeddings"),
    ],
)
def test_where_an_openai_compatible_server_is_asked(url: str, asked: str) -> None:
    assert EndpointSettings("m", "openai", url).encode_url == asked


def test_the_lexical_leg(server: EndpointServer) -> None:
    server.info = {**INFO, "model_type": {"embedding": {"pooling": "splade"}}}
    encoder = Made(server, leg="lexical").encoder
    texts = ["a lexical leg", "", "leg"]
    encoded = encoder.encode_documents(texts)
    assert encoded.dense is None
    assert encoded.lexical is not None
    assert len(encoded.lexical) == 3
    for i, text in enumerate(texts):
        token_ids, values = encoded.lexical.row(i)
        assert dict(zip(token_ids.tolist(), values.tolist(), strict=True)) == weights(text)
    assert encoder.dimension is None
    assert encoder.dense_fingerprint is None
    assert encoder.lexical_scoring.kind == "dot"
    assert dict(encoder.describe_tokens("leg")) == {i: f"token {i}" for i in weights("leg")}
    named = endpoint_encoder(
        EndpointSettings("test/model", "tei", server.url, leg="lexical"), token_text=lambda i: "leg" if i else None
    )
    assert list(named.describe_tokens("leg").values()) == ["leg"]


def test_weights_that_are_not_above_zero_are_dropped(server: EndpointServer) -> None:
    server.info = None
    entries = [{"index": 7, "value": 0.5}, {"index": 3, "value": 2}, {"index": 4, "value": 0.0}]
    server.faults = [Fault("answer", body=[entries])]
    rows = Made(server, leg="lexical").encoder.encode_queries(["x"]).lexical
    assert rows is not None
    assert rows.row(0)[0].tolist() == [3, 7]
    assert rows.row(0)[1].tolist() == [2.0, 0.5]


def test_instructions(server: EndpointServer) -> None:
    template = "Instruct: find\nQuery: {text}"
    encoder = Made(server, query_instruction=template, document_instruction="passage: ").encoder
    encoder.encode_queries(["{text}"])
    encoder.encode_documents(["b"])
    sent = [body["inputs"] for _, _, body in server.posts]
    assert sent == [["Instruct: find\nQuery: {text}"], ["passage: b"]]


def test_texts_that_cannot_be_sent_as_they_are(server: EndpointServer) -> None:
    Made(server).dense(["", "a\x00b", "lone \ud800 surrogate", "한국어 😀"])
    assert server.posts[0][2]["inputs"] == [" ", "a\x00b", "lone \ufffd surrogate", "한국어 😀"]


def test_equal_texts_are_asked_for_once(server: EndpointServer) -> None:
    vectors = Made(server).dense(["a", "b", "a", "a"])
    assert server.answered == {"a": 1, "b": 1}
    np.testing.assert_allclose(vectors, expected(["a", "b", "a", "a"]), atol=1e-6)


def test_no_texts_need_no_request_but_the_one_for_the_dimension(server: EndpointServer) -> None:
    assert Made(server).dense([]).shape == (0, DIMENSION)
    assert len(server.posts) == 1
    assert Made(server, dimension=7).dense([]).shape == (0, 7)
    assert len(server.posts) == 1


def test_requests_are_bounded_by_count_by_tokens_and_by_what_the_server_tells(server: EndpointServer) -> None:
    def sizes(**changes: Any) -> list[int]:
        server.requests.clear()
        Made(server, concurrency=1, **changes).dense(TEXTS[:10])
        return [len(body["inputs"]) for _, _, body in server.posts]

    assert sizes(batch_texts=4) == [4, 4, 2]
    assert sizes(batch_tokens=1) == [1] * 10
    server.info = {**INFO, "max_client_batch_size": 6}
    assert sizes() == [6, 4]
    server.info = None
    assert sizes(batch_texts=7) == [7, 3]


def test_a_tokenizer_cuts_exactly(server: EndpointServer) -> None:
    encoder = endpoint_encoder(
        EndpointSettings("test/model", "tei", server.url, batch_tokens=6, concurrency=1),
        count_tokens=lambda text: len(text.split()),
    )
    encoder.encode_documents(["a b c", "d e f", "g", "h i j k l m n o"])
    assert [len(body["inputs"]) for _, _, body in server.posts] == [2, 1, 1]


def test_requests_in_flight_are_bounded_and_do_overlap(server: EndpointServer) -> None:
    together = threading.Barrier(3, timeout=60)

    def meet(texts: list[str]) -> None:
        together.wait()  # passes only if three requests are in flight at once

    server.choose = meet
    Made(server, concurrency=3, batch_texts=4).dense(TEXTS[:36])
    assert server.most_in_flight == 3


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_too_large_a_request_is_halved(server: EndpointServer, limit: int) -> None:
    server.max_texts = limit
    made = Made(server, batch_texts=16)
    np.testing.assert_allclose(made.dense(TEXTS), expected(TEXTS), atol=1e-6)
    assert set(server.answered.values()) == {1}
    assert made.waits == []


def test_a_refused_size_is_not_tried_again(server: EndpointServer) -> None:
    server.max_texts = 8
    texts = [f"same size {i:04}" for i in range(160)]
    Made(server, batch_texts=16, concurrency=1).dense(texts)
    refused = [body for _, _, body in server.posts if len(body["inputs"]) > 8]
    assert len(refused) == 1


def test_a_text_too_large_on_its_own_is_named(server: EndpointServer) -> None:
    server.max_characters = 100
    made = Made(server)
    message = error_of(lambda: made.dense(["short", "also short", "long " * 100, "end"]))
    assert "status 413 (batch size 1 > maximum)" in message
    assert "text 3 of 4 (500 characters, about 168 tokens)" in message
    assert "make chunks smaller" in message


def test_a_closed_encoder_opens_again(server: EndpointServer) -> None:
    encoder = endpoint_encoder(EndpointSettings("test/model", "tei", server.url))
    assert isinstance(encoder, EndpointEncoder)
    encoder.encode_queries(["a"])
    encoder.close()
    encoder.close()
    encoder.encode_queries(["a"])
    encoder.close()
