"""Cross-encoders against the libraries that publish them, on tiny ones of random weights; and behind a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from pipeline.config import EndpointSection, RerankSettings
from pipeline.errors import ConfigError, EncoderError
from pipeline.models.choose.reranker import load_reranker
from pipeline.models.endpoint.reranker import endpoint_reranker
from tests.models.endpoint_server import INFO, EndpointServer, Fault, error_of, relevance
from tests.models.endpoint_server import running_fixture as running_fixture
from tests.models.endpoint_server import server_fixture as server_fixture

PASSAGES = [*tiny.SENTENCES, "", "😀 </s> <s>", "LangChain은 애플리케이션을 " * 200, "lone \ud800 surrogate"]
LONG_QUERY = "LangChain 에 대해서 " * 120


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-reranker"
    tiny.save_cross_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-bert-reranker"
    tiny.save_cross_encoder(folder, "Bert")
    return folder


def settings(folder: Path, **changes: Any) -> RerankSettings:
    return RerankSettings(model=str(folder), device="cpu", precision="f32", **changes)


@pytest.mark.parametrize("runtime", ["openvino", "flagembedding"])
@pytest.mark.parametrize("query", [tiny.QUERY, LONG_QUERY])
def test_parity_with_flag_reranker(roberta: Path, runtime: str, query: str) -> None:
    from FlagEmbedding import FlagReranker

    # It decodes ids and tokenizes again, which changes an empty text and special tokens written out.
    passages = [*tiny.SENTENCES, PASSAGES[7]]
    library = FlagReranker(str(roberta), use_fp16=False, devices=["cpu"], max_length=512)
    theirs = library.compute_score([(query, passage) for passage in passages], normalize=False)
    mine = load_reranker(settings(roberta, runtime=runtime)).score(query, passages)
    assert mine.dtype == np.float32
    assert np.ptp(mine) > 0.1
    np.testing.assert_allclose(mine, theirs, atol=1e-4)


@pytest.mark.parametrize("folder", ["roberta", "bert"])
@pytest.mark.parametrize("runtime", ["openvino", "sentence-transformers"])
def test_parity_with_cross_encoder(folder: str, runtime: str, request: pytest.FixtureRequest) -> None:
    """Also for BERT, whose passages are of token type 1."""
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    path = request.getfixturevalue(folder)
    passages = [text for text in PASSAGES if "\ud800" not in text]
    library = CrossEncoder(str(path), device="cpu", max_length=512)
    theirs = library.predict([(tiny.QUERY, text) for text in passages], activation_fn=Identity())
    mine = load_reranker(settings(path, runtime=runtime)).score(tiny.QUERY, passages)
    np.testing.assert_allclose(mine, theirs, atol=1e-4)
    assert np.ptp(mine) > 0.1


def test_automatic_runtime_is_openvino_and_order_does_not_matter(roberta: Path) -> None:
    reranker = load_reranker(settings(roberta))
    assert reranker.runtime.name == "openvino"
    forward = reranker.score(tiny.QUERY, PASSAGES)
    backward = reranker.score(tiny.QUERY, PASSAGES[::-1])[::-1]
    np.testing.assert_allclose(forward, backward, atol=1e-5)
    assert reranker.score(tiny.QUERY, []).shape == (0,)


def test_what_cannot_be_loaded_says_so(roberta: Path, tmp_path: Path) -> None:
    def refused(**changes: Any) -> str:
        with pytest.raises((ConfigError, EncoderError)) as caught:
            load_reranker(RerankSettings(**changes)).score("a", ["b"])
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "query.rerank.model='bge': there is no folder" in refused(model="bge")
    assert "query.rerank.model='nobody/nothing' is not on this machine" in refused(model="nobody/nothing")
    (tmp_path / "empty").mkdir()
    assert "no model folder" in refused(model=str(tmp_path / "empty"))
    tiny.save_xlm_roberta(tmp_path / "plain")
    assert "is no cross-encoder: its config.json names XLMRobertaModel" in refused(model=str(tmp_path / "plain"))
    tiny.save_cross_encoder(tmp_path / "classes", labels=3)
    assert "gives 3 scores a pair" in refused(model=str(tmp_path / "classes"))
    damaged = tmp_path / "damaged"
    tiny.save_cross_encoder(damaged)
    (damaged / "model.safetensors").write_bytes(b"no weights")
    for runtime in ("openvino", "flagembedding", "sentence-transformers"):
        assert str(damaged) in refused(model=str(damaged), runtime=runtime, device="cpu")
    relu = tmp_path / "relu"
    tiny.save_cross_encoder(relu)
    config = json.loads((relu / "config.json").read_text())
    (relu / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    assert "set query.rerank.runtime: sentence-transformers" in refused(model=str(relu), runtime="openvino")
    assert load_reranker(settings(relu)).runtime.name == "sentence-transformers"


def endpoint(server: EndpointServer, **changes: Any) -> Any:
    section = EndpointSection(protocol="tei", url=server.url, batch_texts=4, **changes)
    return endpoint_reranker(RerankSettings(model="test/reranker"), section, sleep=lambda _: None)


@pytest.fixture
def reranking(server: EndpointServer) -> EndpointServer:
    server.info = INFO | {"model_id": "test/reranker", "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}}}}
    return server


def test_an_endpoint_gives_scores_in_the_order_of_the_passages(reranking: EndpointServer) -> None:
    passages = ["red green", "blue", "green", *(f"nothing {i}" for i in range(9)), "lone \ud800 green", ""]
    scores = endpoint(reranking).score("red green", passages)
    assert scores.tolist() == pytest.approx([relevance("red green", text) for text in passages])
    bodies = [body for _, _, body in reranking.posts]
    assert len(bodies) == 4
    assert {path for path, _, _ in reranking.posts} == {"/rerank"}
    assert bodies[0].keys() == {"query", "texts", "raw_scores", "truncate"}
    assert all(body["raw_scores"] is True and body["query"] == "red green" for body in bodies)


def test_an_endpoint_that_is_busy_or_small_is_asked_again(reranking: EndpointServer) -> None:
    reranking.faults = [Fault("status", status=503), Fault("cut")]
    reranking.max_texts = 2
    texts = [f"word{i}" for i in range(9)]
    assert endpoint(reranking).score("word3", texts).argmax() == 3


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"error": "x"}, "expected a list of scores"),
        ([{"index": 0, "score": 1.0}], "1 scores for 2 texts"),
        ([{"index": 0, "score": 1.0}, {"index": 0, "score": 2.0}], "do not number the texts"),
        ([{"index": 0, "score": 1.0}, {"index": 1, "score": None}], "not a finite number"),
    ],
)
def test_an_answer_that_cannot_be_used(reranking: EndpointServer, answer: Any, says: str) -> None:
    reranking.faults = [Fault("answer", body=answer)]
    assert says in error_of(lambda: endpoint(reranking).score("q", ["a", "b"]))


def test_a_server_of_another_kind_is_refused(reranking: EndpointServer) -> None:
    reranking.info = INFO | {"model_id": "test/reranker"}
    assert "embedding model, which cannot rerank" in error_of(lambda: endpoint(reranking).score("q", ["a"]))
    reranking.info = INFO
    found = error_of(lambda: endpoint(reranking).score("q", ["a"]))
    assert "runs test/model, not query.rerank.model=test/reranker" in found
    with pytest.raises(ConfigError, match=r"query\.rerank\.endpoint\.protocol: only tei can rerank"):
        endpoint_reranker(RerankSettings(model="a/b"), EndpointSection(protocol="openai"))
    with pytest.raises(ConfigError, match="serves a cross-encoder"):
        RerankSettings(model="multivectors", endpoint=EndpointSection(protocol="tei"))
    reranking.info = None
    down = RerankSettings(
        model="a/b", endpoint=EndpointSection(protocol="tei", url="http://127.0.0.1:9", attempts=1)
    )
    with pytest.raises(EncoderError, match=r"127\.0\.0\.1:9"):
        load_reranker(down).score("q", ["a"])
