"""Unusable answers, and what a fingerprint says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.models.endpoint.http import MAX_ANSWER_BYTES
from pipeline.models.endpoint.settings import EndpointProtocol
from tests.models.endpoint_server import (
    DIMENSION,
    INFO,
    PROTOCOLS,
    EndpointServer,
    Fault,
    Made,
    error_of,
    running_server,
    vector,
)
from tests.models.endpoint_server import running_fixture as running_fixture
from tests.models.endpoint_server import server_fixture as server_fixture

NAN = float("nan")
ONE = [1.0] * DIMENSION
BAD = [NAN] * DIMENSION


@pytest.mark.parametrize(
    ("protocol", "fault", "says"),
    [
        ("tei", Fault("wrong count"), "3 vectors for 4 texts"),
        ("openai", Fault("wrong count"), "3 vectors for 4 texts"),
        ("tei", Fault("answer", body=[ONE, ONE, BAD, ONE]), "NaN, null or infinite values for text 3 of 4"),
        ("tei", Fault("answer", body=[ONE, [None] * 12, ONE, ONE]), "NaN, null or infinite values for text 2 of 4"),
        ("tei", Fault("answer", body=[ONE, [1e999] * 12, ONE, ONE]), "infinite values for text 2 of 4"),
        ("tei", Fault("answer", body=[ONE, ONE, ONE, [0] * DIMENSION]), "a vector of zeros for text 4 of 4"),
        ("tei", Fault("answer", body=[ONE, ONE, ONE, ONE[:-1]]), "11 columns in one answer for text 4 of 4"),
        ("tei", Fault("answer", body=[ONE, [], ONE, ONE]), "expected a vector, got an empty list for text 2 of 4"),
        ("tei", Fault("answer", body=[["x"]] * 4), "something other than numbers"),
        ("tei", Fault("answer", body=[[{}]] * 4), "something other than numbers"),
        ("tei", Fault("answer", body={"error": "ha"}), "expected a list of vectors, got an object"),
        ("huggingface", Fault("answer", body=[[ONE, ONE]] * 4), "a vector for each token instead of one"),
        ("openai", Fault("answer", body=[ONE] * 4), "expected an object with a list `data`, got a list"),
        ("openai", Fault("answer", body={"data": [{"index": 0, "embedding": ONE}] * 4}), "the order is not known"),
        ("openai", Fault("answer", body={"data": [{"embedding": ONE}] * 4}), "the order is not known"),
        ("openai", Fault("answer", body={"data": [{"index": i} for i in range(4)]}), "a NoneType for text 1 of 4"),
        ("tei", Fault("html"), "the answer is not JSON but text/html"),
        ("tei", Fault("answer", body=b"[[1.0, 2.0"), "the answer is not JSON"),
        ("tei", Fault("status", 204), "status 204"),
    ],
)
def test_unusable_answers(server: EndpointServer, protocol: EndpointProtocol, fault: Fault, says: str) -> None:
    server.faults = [fault]
    made = Made(server, protocol)
    message = error_of(lambda: made.dense(["a", "b", "c", "d"]))
    assert message.startswith(server.url)
    assert says in message
    assert made.waits == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"index": 1}, "got an object"),
        ([[]], "1 sparse vectors for 2 texts"),
        ([[], {}], "expected a list of index and value pairs, got an object for text 2 of 2"),
        ([[], [[1, 2]]], "an index that is no token id for text 2 of 2"),
        ([[{"index": -1, "value": 1}], []], "an index that is no token id for text 1 of 2"),
        ([[{"index": 1.5, "value": 1}], []], "an index that is no token id"),
        ([[{"index": 4, "value": NAN}], []], "value at index 4 is not a finite number"),
        ([[{"index": 4, "value": 1e39}], []], "value at index 4 is not a finite number"),
        ([[{"index": 4, "value": None}], []], "value at index 4 is not a finite number"),
        ([[{"index": 4, "value": 1}, {"index": 4, "value": 2}], []], "holds index 4 twice"),
    ],
)
def test_unusable_sparse_answers(server: EndpointServer, body: Any, says: str) -> None:
    server.info = None
    server.faults = [Fault("answer", body=body)]
    made = Made(server, leg="lexical")
    assert says in error_of(lambda: made.encoder.encode_documents(["a", "b"]))


def test_the_dimension_must_stay_and_be_the_configured_one(server: EndpointServer) -> None:
    made = Made(server)
    made.dense(["a"])
    server.faults = [Fault("wrong dimension")]
    assert "vectors of 11 columns where 12 were expected" in error_of(lambda: made.dense(["b"]))
    other = Made(server, dimension=384)
    assert "vectors of 12 columns where 384 were expected" in error_of(lambda: other.dense(["b"]))


def test_very_large_and_very_small_vectors_are_normalised_exactly(server: EndpointServer) -> None:
    server.faults = [Fault("answer", body=[[3e200, 4e200], [3e-200, 4e-200]])]
    np.testing.assert_allclose(Made(server).dense(["a", "b"]), [[0.6, 0.8]] * 2, rtol=1e-6)


def test_truncated_dimensions_are_normalised_again(server: EndpointServer) -> None:
    made = Made(server, truncate_dim=5)
    cut = vector("a")[:5]
    np.testing.assert_allclose(made.dense(["a"])[0], cut / np.linalg.norm(cut), atol=1e-6)
    assert made.encoder.dimension == 5
    too_many = Made(server, truncate_dim=13)
    assert "fewer than encoder.truncate_dim=13" in error_of(lambda: too_many.dense(["a"]))


def test_an_answer_without_end_is_cut_off(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ANSWER_BYTES > 32 * 4096 * 25
    monkeypatch.setattr("pipeline.models.endpoint.http.MAX_ANSWER_BYTES", 100)
    server.info = None
    made = Made(server)
    assert "the answer is larger than 100 bytes" in error_of(lambda: made.dense(["a"]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_dimension_is_asked_for_once(server: EndpointServer, protocol: EndpointProtocol) -> None:
    encoder = Made(server, protocol).encoder
    assert server.requests == []
    assert encoder.dimension == DIMENSION
    assert encoder.dimension == DIMENSION
    assert encoder.dense_fingerprint == encoder.dense_fingerprint
    assert len(server.posts) == 1


def test_a_configured_dimension_gives_the_same_fingerprint_with_no_request(server: EndpointServer) -> None:
    told = Made(server, "openai", dimension=DIMENSION).encoder.dense_fingerprint
    assert server.requests == []
    assert told == Made(server, "openai").encoder.dense_fingerprint


def test_the_fingerprint_says_what_is_served_and_not_where(
    server: EndpointServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Made(server).encoder.dense_fingerprint
    with running_server() as elsewhere:
        monkeypatch.setenv("TEI_TOKEN", "another")
        second = Made(elsewhere, token_variable="TEI_TOKEN", batch_texts=3, concurrency=1).encoder.dense_fingerprint
    assert first is not None
    assert first == second
    assert dict(first.fields) == {
        "kind": "endpoint",
        "protocol": "tei",
        "model": "test/model",
        "revision": INFO["model_sha"],
        "pooling": "cls",
        "max_tokens": "512",
        "query_instruction": "",
        "document_instruction": "",
        "normalization": "l2",
        "dimension": "12",
        "truncate_dim": "none",
        "precision": "float",
    }


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"query_instruction": "query: {text}"}, "query_instruction: '' → 'query: '"),
        ({"document_instruction": "passage: "}, "document_instruction: '' → 'passage: '"),
        ({"truncate_dim": 4}, "truncate_dim: none → 4"),
        ({"max_tokens": 100}, "max_tokens: server → 100"),
        ({"revision": "abc"}, "revision: unknown → abc"),
        ({"model": "other"}, "model: test/model → other"),
    ],
)
def test_what_changes_the_output_changes_the_fingerprint(
    server: EndpointServer, changes: dict[str, Any], line: str
) -> None:
    plain = Made(server, "openai", dimension=DIMENSION).encoder.dense_fingerprint
    changed = Made(server, "openai", dimension=DIMENSION, **changes).encoder.dense_fingerprint
    assert plain is not None
    assert changed is not None
    assert line in plain.differences(changed)


def test_a_template_and_the_prefix_it_stands_for_are_one(server: EndpointServer) -> None:
    prints = {
        Made(server, "openai", dimension=2, query_instruction=text).encoder.dense_fingerprint
        for text in ("query: ", "query: {text}")
    }
    assert len(prints) == 1
    assert Made(server, "openai", dimension=2, query_instruction="{text}").encoder.dense_fingerprint == (
        Made(server, "openai", dimension=2).encoder.dense_fingerprint
    )


@pytest.mark.parametrize(
    ("info", "changes", "says"),
    [
        ({"model_id": "other/model"}, {}, "the server runs other/model, not encoder.model=test/model"),
        ({}, {"revision": "fedcba98"}, "not encoder.revision=fedcba98"),
        ({}, {"leg": "lexical"}, "pools by cls, which gives no lexical vectors"),
        ({"model_type": {"embedding": {"pooling": "splade"}}}, {}, "pools by splade, which gives no dense vectors"),
    ],
)
def test_a_server_that_runs_something_else_is_refused(
    server: EndpointServer, info: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    server.info = {**INFO, **info}
    made = Made(server, **changes)
    assert says in error_of(lambda: made.encoder.encode_documents(["a"]))
    assert server.posts == []


@pytest.mark.parametrize(
    ("info", "changes"),
    [
        ({"model_id": "/data/my-model"}, {}),
        ({"model_id": "Test/Model"}, {}),
        ({}, {"revision": "0123456"}),
        ({}, {"revision": "main"}),
        ({"model_sha": None, "model_type": "new", "max_client_batch_size": "many"}, {}),
    ],
)
def test_a_server_that_may_well_run_it_is_not(
    server: EndpointServer, info: dict[str, Any], changes: dict[str, Any]
) -> None:
    server.info = {**INFO, **info}
    assert Made(server, **changes).dense(["a"]).shape == (1, DIMENSION)


def test_an_answer_by_another_model_is_a_warning(server: EndpointServer, caplog: pytest.LogCaptureFixture) -> None:
    body = {"model": "cheaper", "data": [{"index": 0, "embedding": ONE}]}
    server.faults = [Fault("answer", body=body)] * 2
    made = Made(server, "openai")
    made.dense(["a"])
    made.dense(["b"])
    assert caplog.text.count("asked for test/model, answered by cheaper") == 1
