"""The second look: multi-vectors and cross-encoders on whole indexes, and the arithmetic by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.config import FusionSettings, RerankSettings, parse_config
from pipeline.errors import ConfigError, NoMultivectorsError, QueryError
from pipeline.job import build as builder
from pipeline.query.files.batch import trec_lines
from pipeline.query.fusion.methods import LegColumn, fuse
from pipeline.query.legs.multivectors import are_stored
from pipeline.query.ranked import Ranked
from pipeline.query.rerank import choose_reranker, combine, leg_name
from pipeline.query.searcher import Index, open_index
from tests.models import tiny
from tests.models.endpoint_server import relevance, running_server
from tests.support.collection import config_for, write_documents

QUESTION = "LangChain 애플리케이션"


def column(name: str, scores: list[float]) -> LegColumn:
    values = np.array(scores)
    ranks = np.argsort(np.argsort(-values)) + 1
    return LegColumn(name, values, ranks, float(values.max()), 0.0)


def candidates(method: str = "weighted", weights: dict[str, float] | None = None) -> Ranked:
    columns = (column("dense", [0.5, 0.4, 0.3, 0.2]), column("lexical", [0.0, 1.0, 3.0, 0.5]))
    fused = fuse(method, columns, weights or {})
    order = np.argsort(-fused.scores, kind="stable")
    return Ranked(np.arange(4), order, fused.scores, columns, fused, None)


def test_multivectors_join_as_a_third_leg_with_the_weights_of_the_paper() -> None:
    ranked = candidates(weights={"dense": 1.0, "lexical": 0.3})
    weights = {"dense": 1.0, "lexical": 0.3, "multivector": 1.0}
    found = combine(ranked, np.array([2, 1]), np.array([0.6, 0.7]), "multivector", weights=weights, blend=0.0)
    by_hand = [(0.3 + 0.3 * 3.0 + 0.6) / 2.3, (0.4 + 0.3 * 1.0 + 0.7) / 2.3]
    assert found.contributions.sum(axis=0) == pytest.approx(by_hand)
    assert found.ranks.tolist() == [2, 1]
    assert found.columns == {2: 0, 1: 1}


def test_alone_and_blended_by_hand() -> None:
    ranked = candidates()
    positions, scores = np.array([0, 1, 2]), np.array([-2.0, 4.0, 1.0])
    alone = combine(ranked, positions, scores, "reranker", weights=None, blend=0.0)
    assert alone.contributions.sum(axis=0).tolist() == scores.tolist()
    assert alone.weights == (0.0, 0.0, 1.0)
    half = combine(ranked, positions, scores, "reranker", weights=None, blend=0.5)
    first = np.array([0.25, 0.7, 1.65])  # (dense + lexical) / 2
    assert half.contributions.sum(axis=0) == pytest.approx(0.5 * first / first.std() + 0.5 * scores / scores.std())
    assert half.normalized * np.array(half.weights)[:, None] == pytest.approx(half.contributions)
    equal = combine(ranked, positions, np.ones(3), "reranker", weights=None, blend=0.5)
    assert np.isfinite(equal.contributions).all()
    none = combine(ranked, np.zeros(0, np.int64), np.zeros(0), "reranker", weights=None, blend=0.5)
    assert none.contributions.shape == (3, 0)


def test_what_a_search_asks_for() -> None:
    configured = RerankSettings(model="a/b", top=7, revision="v1", device="cpu")
    assert choose_reranker(configured, None, None) == configured
    assert choose_reranker(configured, "a/b", 3) == configured.model_copy(update={"top": 3})
    other = choose_reranker(configured, "multivectors", None)
    assert (other.model, other.top, other.revision, other.device) == ("multivectors", 7, None, "cpu")
    assert (leg_name("multivectors"), leg_name("a/b")) == ("multivector", "reranker")
    with pytest.raises(QueryError, match="rerank_top=0"):
        choose_reranker(configured, None, 0)
    with pytest.raises(QueryError, match="name is empty"):
        choose_reranker(configured, " ", None)


@pytest.fixture(scope="module")
def m3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-m3"
    tiny.save_bge_m3(folder)
    return folder


def m3_index(folder: Path, model: Path, stored: str | None) -> Index:
    rng = np.random.default_rng(1)
    words = " ".join(tiny.SENTENCES).split()
    write_documents(folder / "documents", {f"{i:02}.txt": " ".join(rng.choice(words, 12)) for i in range(40)})
    encoder = {"model": str(model), "device": "cpu", "precision": "f32", "multivectors": stored is not None}
    segments: dict[str, Any] = {"max_chunks": 16, "multivectors": stored or "int8"}
    config = config_for(folder, encoder=encoder, segments=segments)
    builder.build(config)
    return open_index(config.index_path)


@pytest.mark.parametrize(("stored", "tolerance"), [("fp16", 1e-3), ("int8", 1e-2), (None, 1e-4)])
def test_multivectors_against_colbert_score(m3: Path, tmp_path: Path, stored: str | None, tolerance: float) -> None:
    """Stored, or computed on the fly; the score is the paper's 1 / 0.3 / 1 over all three of FlagEmbedding's."""
    from FlagEmbedding import BGEM3FlagModel

    index = m3_index(tmp_path, m3, stored)
    assert are_stored(index.snapshot) == (stored is not None)
    hits = index.search(QUESTION, 40, rerank="multivectors", rerank_top=10, explain=True)
    library = BGEM3FlagModel(str(m3), use_fp16=False, devices=["cpu"])
    outputs = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
    asked = library.encode([QUESTION], **outputs)
    given = library.encode([hit.text for hit in hits], **outputs)
    for i, hit in enumerate(hits):
        late = float(library.colbert_score(asked["colbert_vecs"][0], given["colbert_vecs"][i]))
        if i >= 10:
            assert hit.reranker is None
            continue
        assert hit.reranker is not None
        assert hit.reranker.score == pytest.approx(late, abs=tolerance)
        dense = float(asked["dense_vecs"][0] @ given["dense_vecs"][i])
        sparse = library.compute_lexical_matching_score(asked["lexical_weights"][0], given["lexical_weights"][i])
        assert hit.score == pytest.approx((dense + 0.3 * sparse + late) / 2.3, abs=tolerance)
        assert sum(leg.contribution or 0 for leg in hit.legs.values()) == pytest.approx(hit.score)
    assert [hit.score for hit in hits[:10]] == sorted((hit.score for hit in hits[:10]), reverse=True)
    plain = index.search(QUESTION, 40)
    assert {hit.chunk_id for hit in plain[:10]} == {hit.chunk_id for hit in hits[:10]}
    assert [hit.chunk_id for hit in plain[10:]] == [hit.chunk_id for hit in hits[10:]]
    by_late = index.search(QUESTION, 10, rerank=RerankSettings(model="multivectors", top=10, blend=0.0))
    assert [hit.rank for hit in by_late] == [hit.reranker.rank for hit in by_late if hit.reranker]
    index.close()


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny-reranker"
    tiny.save_cross_encoder(folder)
    return str(folder)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("rerank")
    rng = np.random.default_rng(0)
    words = ["index", "segment", "manifest", "vector", "token", "query", "rank", "fusion"]
    texts = {f"{i:03}.txt": " ".join(rng.choice(words, 10)) for i in range(150)}
    texts |= {f"same-{i}.txt": "fusion of a query" for i in range(4)}
    texts["long.txt"] = "fusion of a query and a segment. " * 150
    write_documents(folder / "documents", texts)
    config = config_for(folder, segments={"max_chunks": 60, "dense": "auto"})
    builder.build(config)
    return open_index(config.index_path)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("blend", [None, 0.4])
def test_the_first_hits_do_not_depend_on_k(
    index: Index, cross_encoder: str, mode: str, blend: float | None
) -> None:
    rerank = RerankSettings(model=cross_encoder, top=20, blend=blend, precision="f32")
    full = index.search("fusion of a query", 200, mode, rerank=rerank)
    for k in (1, 10, 20, 60):
        assert index.search("fusion of a query", k, mode, rerank=rerank) == full[:k]
    assert [hit.reranker is not None for hit in full] == [i < 20 for i in range(len(full))]
    plain = index.search("fusion of a query", 200, mode)
    assert [hit.chunk_id for hit in plain[20:]] == [hit.chunk_id for hit in full[20:]]
    assert {hit.chunk_id for hit in plain[:20]} == {hit.chunk_id for hit in full[:20]}
    same = [hit.chunk_id for hit in full[:20] if hit.doc_id.startswith("same")]
    assert same == sorted(same)


@pytest.mark.parametrize("method", ["rrf", "weighted", "auto", "zscore"])
@pytest.mark.parametrize("blend", [0.0, 0.7])
def test_an_explanation_adds_up(index: Index, cross_encoder: str, method: str, blend: float) -> None:
    rerank = RerankSettings(model=cross_encoder, top=5, blend=blend, precision="f32")
    fusion = FusionSettings(method=method)
    for hit in index.search("ranking of segments", 30, fusion=fusion, explain=True, rerank=rerank):
        parts = [leg.contribution for leg in hit.legs.values() if leg.contribution is not None]
        assert len(parts) == len(hit.legs) == (3 if hit.rank <= 5 else 2)
        assert sum(parts) == pytest.approx(hit.score)
        for leg in hit.legs.values():
            assert (leg.normalized or 0.0) * (leg.weight or 0.0) == pytest.approx(leg.contribution)


def test_filters_collapse_and_many_at_once(index: Index, cross_encoder: str) -> None:
    asked: dict[str, Any] = {"rerank": cross_encoder, "rerank_top": 30}
    assert index.search("fusion", where="doc_id = 'nothing'", **asked) == []
    assert len(index.search("fusion", where="doc_id = '003.txt'", **asked)) == 1
    plain = index.search("fusion of a query", 200, **asked)
    best: dict[str, str] = {}
    for hit in plain:
        best.setdefault(hit.doc_id, hit.chunk_id)
    assert len(best) < len(plain)
    collapsed = index.search("fusion of a query", 25, collapse=True, **asked)
    assert [hit.chunk_id for hit in collapsed] == list(best.values())[:25]
    texts = ["rank fusion", "manifest of a segment"]
    alone = [index.search(text, 5, **asked) for text in texts]
    assert index.search_many(texts, 5, **asked) == alone
    assert index.search("fusion", 3, rerank="none") == index.search("fusion", 3)


def test_any_passages_are_scored_as_hits_are(index: Index, cross_encoder: str) -> None:
    rerank = RerankSettings(model=cross_encoder, top=5, precision="f32")
    hits = index.search("fusion of a query", 5, rerank=rerank)
    scores = index.rerank("fusion of a query", [hit.text for hit in hits], rerank)
    for hit, score in zip(hits, scores, strict=True):
        assert hit.reranker is not None
        assert hit.reranker.score == pytest.approx(score, abs=1e-5)
    with pytest.raises(QueryError, match="nothing reranks"):
        index.rerank("a query", ["a passage"])


def test_rerankers_that_cannot_be_had(index: Index, tmp_path: Path) -> None:
    with pytest.raises(
        NoMultivectorsError, match=r"encoder of this index \(embedded\) gives none; rerank with a cross-en"
    ):
        index.search("a", rerank="multivectors")
    with pytest.raises(ConfigError, match=r"query\.rerank\.model='nonsense': there is no folder"):
        index.search("a", rerank="nonsense")
    with pytest.raises(ConfigError, match="no model folder"):
        index.search("a", rerank=str(tmp_path))


def test_runs_never_rise() -> None:
    run = {"q": [("a", -3.0), ("b", 0.5), ("c", -4.0)]}
    assert [line.split()[4] for line in trec_lines(run, "t")] == ["-3", "-3", "-4"]


def test_the_command_line_through_an_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    write_documents(tmp_path / "documents")
    with running_server() as server:
        server.info = None
        endpoint = {"protocol": "tei", "url": server.url}
        settings = {
            "index": "index",
            "sources": [{"path": "documents"}],
            "query": {"rerank": {"model": "test/reranker", "endpoint": endpoint}},
        }
        (tmp_path / "config.yaml").write_text(json.dumps(settings))
        builder.build(parse_config(settings, tmp_path))

        def run(*arguments: str) -> Any:
            return CliRunner().invoke(cli, ["--config", str(tmp_path / "config.yaml"), "query", *arguments])

        hits = json.loads(run("Reciprocal rank", "--json", "--rerank-top", "3", "--explain").stdout)["hits"]
        assert hits[0]["doc_id"] == "en/fusion.md"
        assert hits[0]["score"] == hits[0]["reranker"]["score"] == relevance("Reciprocal rank", hits[0]["text"])
        assert [hit.get("reranker") is None for hit in hits] == [False] * 3 + [True] * (len(hits) - 3)
        assert "reranker" in run("Reciprocal rank").stdout
        before = len(server.posts)
        assert "reranker" not in run("Reciprocal rank", "--rerank", "none").stdout
        assert len(server.posts) == before
        failed = run("Reciprocal rank", "--rerank", "nobody/nothing")
        assert failed.exit_code == 1
        assert "query.rerank.model='nobody/nothing' is not on this machine" in failed.stderr
        assert run("x", "--rerank-top", "0").exit_code == 1
