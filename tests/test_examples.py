"""The examples run, on tiny models and a loopback server, and say what the encoders give."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import EncoderSettings
from pipeline.models.contract import Encoder
from pipeline.models.registry import load_encoder
from tests.models import endpoint_server, tiny

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture(scope="module")
def m3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-m3"
    tiny.save_bge_m3(folder)
    return folder


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
    assert set(ranking.order[:3]) == {1, 2, 3}  # the three that name LangChain
    check(ranking, *vectors(load_encoder(EncoderSettings())))


def test_bge_m3(m3: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = example("bge_m3").main(["--model", str(m3), "--device", "cpu"])
    assert scores.dense.shape == (5, tiny.HIDDEN)
    check(scores.dense, *vectors(load_encoder(EncoderSettings(model=str(m3), device="cpu", runtime="torch"))))
    with_itself, with_another = scores.lexical
    assert with_itself > with_another >= 0
    assert len(scores.multivector) == 5
    assert max(scores.multivector) <= 1.001
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


@pytest.mark.parametrize("model", ["embedded", "m3"])
def test_hybrid(model: str, m3: Path) -> None:
    hits = example("hybrid").main(["--model", str(m3) if model == "m3" else model, "--device", "cpu"])
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert {hit.text.strip() for hit in hits} == {text.strip() for text in tiny.SENTENCES}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.dense is not None and hit.lexical is not None for hit in hits)
    if model == "embedded":
        assert "LangChain" in hits[0].text


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "tutorial.py"))
def test_each_says_what_it_downloads(name: str) -> None:
    assert "download" in (EXAMPLES / name).read_text("utf-8").split('"""')[1].lower()


def test_an_example_runs_as_a_script() -> None:
    command = [sys.executable, str(EXAMPLES / "hybrid.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[query] LangChain 에 대해서 알려주세요.")
    assert "#1" in done.stdout
