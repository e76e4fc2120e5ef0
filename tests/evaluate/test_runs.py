"""Whole evaluations on a small index: what is measured, compared and named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import FusionSettings, QuerySettings, RerankSettings
from pipeline.errors import EvaluationError, QueryError
from pipeline.evaluate.report import as_record, named, per_query_lines
from pipeline.evaluate.runs import evaluate, systems_of
from pipeline.job import build as builder
from pipeline.query.files.batch import Query
from pipeline.query.searcher import Index, open_index
from tests.models import tiny
from tests.support.collection import config_for, write_documents

QUERIES = [Query("1", "rank fusion"), Query("2", "rolling back a build"), Query("3", "세대를 발행")]
QRELS = {"1": {"en/fusion.md": 1}, "2": {"en/rollback.md": 2, "gone.md": 1}, "3": {"ko/rollback.md": 1}}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("runs")
    write_documents(folder / "documents")
    builder.build(config := config_for(folder))
    with open_index(config.index_path) as opened:
        yield opened


def test_legs_hybrid_fusions_and_baseline_side_by_side(index: Index) -> None:
    baseline = {"1": [("en/bm25.md", 2.0), ("en/fusion.md", 1.0)], "9": [("x", 1.0)]}
    systems = systems_of(index, ["lexical", "hybrid"], ["rrf"])
    result = evaluate(index, QUERIES, QRELS, ["MRR@10"], systems=systems, baseline=baseline)
    assert list(result.measures) == ["baseline", "lexical", "hybrid", "hybrid-rrf"]
    assert result.values["baseline"]["MRR@10"] == {"1": 0.5, "2": 0.0, "3": 0.0}
    assert result.values["lexical"]["MRR@10"] == {"1": 1.0, "2": 1.0, "3": 1.0}
    assert [(one.run, one.against) for one in result.comparisons] == [
        (run, "baseline") for run in ("lexical", "hybrid", "hybrid-rrf")
    ]
    assert result.comparisons[0].difference == pytest.approx(2.5 / 3)
    assert result.unanswered_by_baseline == ("2", "3")
    assert result.missing_documents == ("gone.md",)


def test_without_a_baseline_all_are_compared_with_the_hybrid(index: Index) -> None:
    result = evaluate(index, QUERIES, QRELS)
    assert {(one.run, one.against) for one in result.comparisons} == {("dense", "hybrid"), ("lexical", "hybrid")}
    assert result.unanswered_by_baseline is None


def test_a_method_is_what_the_index_does_when_so_configured(index: Index) -> None:
    systems = systems_of(index, ["hybrid"], ["auto"])  # the configured method, so the rankings are the same
    result = evaluate(index, QUERIES, QRELS, systems=systems)
    assert result.runs["hybrid"] == result.runs["hybrid-auto"]
    assert {one.p for one in result.comparisons} == {1.0}


def test_records_and_tables(index: Index) -> None:
    result = evaluate(index, QUERIES, QRELS, ["P@1"])
    record = as_record(result, per_query=True)
    assert set(record["measures"]) == {"dense", "lexical", "hybrid"}
    assert record["per_query"]["lexical"]["P@1"]["1"] == 1.0
    assert "per_query" not in as_record(result)
    lines = [line.split("\t") for line in per_query_lines(result)]
    assert lines[0] == ["query-id", "run", "P@1"]
    assert len(lines) == 1 + 3 * 3
    assert ["1", "lexical", "1"] in lines
    assert named(tuple("abcdefg")) == "a, b, c, d, e and 2 more"


def test_a_preset_is_measured_like_a_method_and_configured_weights_belong_to_neither(index: Index) -> None:
    configured = FusionSettings(method="minmax", weights={"dense": 3.0}, rrf_k=7.0)
    before = index.settings
    index.settings = QuerySettings(fusion=configured)
    try:
        fusions = {one.name: one.fusion for one in systems_of(index, ["hybrid"], ["m3-mldr", "minmax", "rrf"])}
    finally:
        index.settings = before
    assert fusions == {
        "hybrid": None,
        "hybrid-m3-mldr": FusionSettings(preset="m3-mldr", rrf_k=7.0),
        "hybrid-minmax": FusionSettings(method="minmax", rrf_k=7.0),
        "hybrid-rrf": FusionSettings(method="rrf", rrf_k=7.0),
    }
    result = evaluate(index, QUERIES, QRELS, ["P@1"], systems=systems_of(index, ["hybrid"], ["m3-mldr"]))
    assert set(result.measures) == {"hybrid", "hybrid-m3-mldr"}


def test_refusals(index: Index) -> None:
    with pytest.raises(EvaluationError, match="no sparse leg; it has: dense, lexical"):
        systems_of(index, ["sparse"])
    with pytest.raises(QueryError, match="unknown fusion 'rff'; did you mean 'rrf'"):
        systems_of(index, [], ["rff"])
    with pytest.raises(EvaluationError, match="unknown measure 'goodness'"):
        evaluate(index, QUERIES, QRELS, ["goodness"])
    with pytest.raises(EvaluationError, match="none of the queries has a judgement"):
        evaluate(index, QUERIES, {"x": {"y": 1}})


def test_a_configured_reranker_is_measured_beside_the_hybrid(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random weights, so the order is another one; the scores fall all the way, past the reranked chunks too."""
    tiny.save_cross_encoder(tmp_path / "reranker")
    rerank = RerankSettings(model=str(tmp_path / "reranker"), top=3, precision="f32")
    monkeypatch.setattr(index, "settings", index.settings.model_copy(update={"rerank": rerank}))
    result = evaluate(index, QUERIES, QRELS, ["nDCG@10"])
    assert list(result.measures) == ["dense", "lexical", "hybrid", "reranked"]
    for query in QUERIES:
        ranking = result.runs["reranked"][query.query_id]
        hits = index.search(query.text, 100, collapse=True)
        assert [doc_id for doc_id, _ in ranking] == [hit.doc_id for hit in hits]
        assert [score for _, score in ranking] == sorted((score for _, score in ranking), reverse=True)
    assert [one.name for one in systems_of(index, ["hybrid"])] == ["hybrid"]
