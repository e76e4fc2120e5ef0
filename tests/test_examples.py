"""The examples run, on tiny models and a loopback server, and say what the encoders give."""

from __future__ import annotations

import importlib
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import EncoderSettings
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.contract import Encoder
from pipeline.query.searcher import open_index
from tests.models import endpoint_server, tiny
from tests.support.collection import write_documents

BF16 = 0.1
"""Relative tolerance of a lexical score of a tiny random model in bf16; tests/models compares in fp32."""

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.save_bge_m3(folder / "m3")
    tiny.save_sentence_model(folder / "sentence")
    tiny.save_splade(folder / "splade")
    return folder


@pytest.fixture
def m3(models: Path) -> Path:
    return models / "m3"


def example(name: str) -> Any:
    return importlib.import_module(name)


def check(ranking: Any, documents: np.ndarray, query: np.ndarray, atol: float = 2e-2) -> None:
    """The example's ranking is the one numpy gives for the same vectors."""
    assert ranking.shape == documents.shape
    scores = documents @ query
    np.testing.assert_allclose(ranking.scores, scores, atol=atol)  # bf16 where the machine has it
    assert ranking.order == np.argsort(-ranking.scores, kind="stable").tolist()
    assert scores[ranking.order[0]] >= scores.max() - atol


def vectors(encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    tutorial = example("tutorial")
    documents, query = (
        encoder.encode_documents(tutorial.TEXTS).dense,
        encoder.encode_queries([tutorial.QUERY]).dense,
    )
    assert documents is not None
    assert query is not None
    return documents, query[0]


def test_the_sentences_are_those_of_the_tutorial() -> None:
    tutorial = example("tutorial")
    assert (tutorial.TEXTS, tutorial.QUERY) == (tiny.SENTENCES, tiny.QUERY)


def test_embedded() -> None:
    ranking = example("embedded").main()
    assert ranking.shape == (5, 384)
    assert set(ranking.order[:2]) == {2, 3}  # the two in the query's language that tell of LangChain
    check(ranking, *vectors(load_encoder(EncoderSettings())))


def weights(encoder: Encoder, texts: list[str], *, query: bool = False) -> list[dict[int, float]]:
    rows = (encoder.encode_queries(texts) if query else encoder.encode_documents(texts)).lexical
    assert rows is not None
    found = [rows.row(i) for i in range(len(texts))]
    return [dict(zip(ids.tolist(), values.tolist(), strict=True)) for ids, values in found]


def dot(left: dict[int, float], right: dict[int, float]) -> float:
    return sum(weight * right.get(token, 0.0) for token, weight in left.items())


def bm25(query: dict[int, float], documents: list[dict[int, float]], i: int) -> float:
    """By the formula, over term frequencies, with k1 1.2 and b 0.75."""
    mean = sum(sum(tf.values()) for tf in documents) / len(documents)
    norm = 1.2 * (1 - 0.75 + 0.75 * sum(documents[i].values()) / mean)
    score = 0.0
    for term, count in query.items():
        tf, holders = documents[i].get(term, 0.0), sum(term in document for document in documents)
        score += count * math.log1p((5 - holders + 0.5) / (holders + 0.5)) * tf * 2.2 / (tf + norm)
    return score


@pytest.mark.parametrize("runtime", ["openvino", "torch", "flagembedding"])
def test_bge_m3(m3: Path, capsys: pytest.CaptureFixture[str], runtime: str) -> None:
    scores = example("bge_m3").main(["--model", str(m3), "--device", "cpu", "--runtime", runtime])
    assert scores.dense.shape == (5, tiny.HIDDEN)
    encoder = load_encoder(EncoderSettings(model=str(m3), device="cpu", runtime="torch", multivectors=True))
    check(scores.dense, *vectors(encoder))
    rows = weights(encoder, tiny.SENTENCES)
    np.testing.assert_allclose(scores.lexical, [dot(rows[0], rows[0]), dot(rows[0], rows[1])], rtol=BF16)
    assert scores.lexical[0] > scores.lexical[1] >= 0
    query = encoder.encode_queries([tiny.QUERY]).multivectors
    documents = encoder.encode_documents(tiny.SENTENCES).multivectors
    assert query is not None
    assert documents is not None
    tokens = np.split(documents.vectors, documents.offsets[1:-1])
    expected = [(query.vectors @ of_text.T).max(axis=1).mean() for of_text in tokens]
    np.testing.assert_allclose(scores.multivector, expected, atol=2e-2)
    assert "lexical score of text 0 with itself" in capsys.readouterr().out


def test_instruct(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "multilingual-e5-large-instruct"
    tiny.save_sentence_model(folder)
    ranking = example("instruct").main(["--model", str(folder), "--task", "Find it", "--device", "cpu"])
    assert r"before each query: 'Instruct: Find it\nQuery: '" in capsys.readouterr().out
    settings = EncoderSettings(model=str(folder), device="cpu", query_instruction="Instruct: Find it\nQuery: ")
    assert ranking.shape == (5, tiny.HIDDEN)
    check(ranking, *vectors(load_encoder(settings)))


@pytest.mark.parametrize("protocol", endpoint_server.PROTOCOLS)
def test_endpoint(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "a-token")
    with endpoint_server.running_server() as server:
        options = ["--protocol", protocol, "--url", server.url, "--model", "test/model"]
        ranking = example("endpoint").main(options)
    documents = endpoint_server.expected(tiny.SENTENCES)
    check(ranking, documents, endpoint_server.unit(tiny.QUERY), atol=1e-5)
    assert ranking.shape == (5, endpoint_server.DIMENSION)


def check_hits(hits: list[Any]) -> None:
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert {hit.text.strip() for hit in hits} == {text.strip() for text in tiny.SENTENCES}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.dense is not None and hit.lexical is not None for hit in hits)


@pytest.mark.parametrize("model", ["embedded", "m3", "sentence"])
def test_hybrid(model: str, models: Path) -> None:
    name = model if model == "embedded" else str(models / model)
    hits = example("hybrid").main(["--model", name, "--device", "cpu"])
    check_hits(hits)
    if model == "embedded":
        assert "LangChain" in hits[0].text


@pytest.mark.parametrize(
    ("model", "lexical"),
    [
        ("embedded", "bm25"),
        ("embedded", "m3"),
        ("embedded", "splade"),
        ("embedded", "server"),
        ("sentence", "m3"),
        ("m3", "bm25"),
        ("m3", "splade"),
        ("server", "bm25"),
        ("server", "m3"),
        ("server", "splade"),
        ("server", "server"),
    ],
)
def test_mixed(model: str, lexical: str, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    names = {"embedded": "embedded", "bm25": "bm25", "server": "test/model"}
    options = [
        *("--model", names.get(model, str(models / model))),
        *("--lexical", names.get(lexical, str(models / lexical)), "--device", "cpu"),
    ]
    with endpoint_server.running_server() as dense_server, endpoint_server.running_server() as sparse_server:
        sparse_server.info = {**endpoint_server.INFO, "model_type": {"embedding": {"pooling": "splade"}}}
        options += ["--url", dense_server.url] if model == "server" else []
        options += ["--lexical-url", sparse_server.url] if lexical == "server" else []
        found = example("mixed").main(options)

    if model == "server":
        check(found.dense, endpoint_server.expected(tiny.SENTENCES), endpoint_server.unit(tiny.QUERY))
    else:
        settings = EncoderSettings(model=options[1], lexical="none", device="cpu")
        check(found.dense, *vectors(load_encoder(settings)))

    texts, asked = tiny.SENTENCES, [tiny.SENTENCES[0], tiny.QUERY]
    if lexical == "server":
        documents, queries = map(endpoint_server.weights, texts), map(endpoint_server.weights, asked)
        rows, (first, query) = list(documents), list(queries)
    else:
        encoder = load_encoder(EncoderSettings(model="none", lexical=options[3], device="cpu"))
        rows, (first, query) = weights(encoder, texts), weights(encoder, asked, query=True)

    def score(asked: dict[int, float], i: int) -> float:
        return bm25(asked, rows, i) if lexical == "bm25" else dot(asked, rows[i])

    assert found.lexical == pytest.approx((score(first, 0), score(first, 1)), rel=BF16, abs=2e-2)
    if lexical != "splade":  # of random weights, it expands every text to nearly the whole vocabulary
        assert found.lexical[0] > found.lexical[1] >= 0
    check_hits(found.hits)
    inner = found.dense.scores
    if model == "server":  # its vectors tell a text from the same text with a space at the end, which no chunk has
        inner = endpoint_server.expected([text.strip() for text in texts]) @ endpoint_server.unit(tiny.QUERY)
    for hit in found.hits:
        assert hit.dense.score == pytest.approx(inner[int(hit.doc_id)], abs=2e-2)
        assert hit.lexical.score == pytest.approx(score(query, int(hit.doc_id)), rel=BF16, abs=2e-2)


@pytest.mark.parametrize("model", ["embedded", "m3"])
@pytest.mark.parametrize("framework", ["langchain", "llama_index", "haystack"])
def test_rag(framework: str, model: str, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = model if model == "embedded" else str(models / model)
    options = ["--model", name, "--device", "cpu"]
    found = example(f"{framework}_rag").main(options)
    hits = example("hybrid").main(options)
    check_chain(found.answer, found.doc_ids, hits)
    assert f"[0] {hits[0].text}" in capsys.readouterr().out
    if framework == "langchain":
        assert found.dimension == (384 if model == "embedded" else tiny.HIDDEN)


def check_chain(answer: Any, ranking: list[str], hits: list[Any]) -> None:
    """A chain's answer is made from the index's own ranking."""
    assert ranking == [hit.doc_id for hit in hits]
    assert answer.sources == ranking[:2]
    assert answer.text == hits[0].text.strip()


def test_own_encoder() -> None:
    own = example("own_encoder")
    hits = own.main()
    check_hits(hits)
    assert "LangChain" in hits[0].text
    check_dense(hits, own.Trigrams())


def check_dense(hits: list[Any], encoder: Encoder) -> None:
    """Dense scores are inner products of the object's own vectors."""
    rows = encoder.encode_documents([tiny.QUERY, *(hit.text for hit in hits)]).dense
    assert rows is not None
    np.testing.assert_allclose([hit.dense.score for hit in hits], rows[1:] @ rows[0], atol=1e-3)  # stored in fp16


def test_what_the_page_on_encoders_shows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (EXAMPLES.parent / "docs/encoders.md").read_text("utf-8").split("## An encoder of your own")[1]
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(shown) == 2
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec("\n".join(shown), names)
    with open_index(tmp_path / "index", encoder=names["encoder"]) as index:
        assert index.manifest.generation == 2
        assert dict(index.manifest.fingerprints["chunker"]) == {"kind": "sentences", "version": "1"}
        assert len(index.search("roll back a build", 3)) == 3


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "tutorial.py"))
def test_each_says_what_it_downloads(name: str) -> None:
    assert "download" in (EXAMPLES / name).read_text("utf-8").split('"""')[1].lower()


def test_an_example_runs_as_a_script() -> None:
    command = [sys.executable, str(EXAMPLES / "hybrid.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "[query] LangChain 에 대해서 알려주세요." in done.stdout
    assert "#1" in done.stdout
