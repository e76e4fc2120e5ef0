"""Tuning: an honest split, a sweep that agrees with real searches, and a file that keeps its comments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline import builder
from pipeline.config import FusionSettings, load_config
from pipeline.errors import ConfigError, EvaluationError
from pipeline.evaluate.runs import System, evaluate
from pipeline.evaluate.setting import setting_lines, write_setting
from pipeline.evaluate.tune import Trial, split, tune
from pipeline.query.batch import Query
from pipeline.query.searcher import Index, open_index
from tests.collection import config_for, write_documents

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"]
DOCUMENTS = {f"{i}.md": f"# {WORDS[i]}\n\nA page on {WORDS[i]} and {WORDS[i - 1]}." for i in range(len(WORDS))}
QUERIES = [Query(f"q{i}", f"what is {word}?") for i, word in enumerate(WORDS)]
QRELS = {f"q{i}": {f"{i}.md": 1} for i in range(len(WORDS))}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("tune")
    write_documents(folder / "documents", DOCUMENTS)
    builder.build(config := config_for(folder))
    with open_index(config.index_path) as opened:
        yield opened


def test_the_split_is_stable_complete_and_disjoint() -> None:
    one, other = split(QUERIES, 0.25)
    assert (len(one), len(other)) == (9, 3)
    assert {q.query_id for q in one} | {q.query_id for q in other} == QRELS.keys()
    assert split(QUERIES[::-1], 0.25) == (one, other)


@pytest.mark.parametrize(("count", "share", "says"), [(9, 0.5, "9 judged queries"), (12, 0.01, "empty")])
def test_what_cannot_be_split(count: int, share: float, says: str) -> None:
    with pytest.raises(EvaluationError, match=says):
        split(QUERIES[:count], share)


def test_the_sweep_tells_what_a_search_would(index: Index) -> None:
    result = tune(index, QUERIES, QRELS)
    tuning, _ = split(QUERIES, 0.5)
    used = {query.query_id: QRELS[query.query_id] for query in tuning}
    chosen = [result.sweep[place] for place in np.linspace(0, len(result.sweep) - 1, 8).astype(int)]
    systems = [
        System(str(number), index.legs, FusionSettings.model_validate({"method": t.method, "weights": t.weights}))
        for number, t in enumerate(chosen)
    ]
    searched = evaluate(index, tuning, used, ["nDCG@10"], systems=systems)
    for number, trial in enumerate(chosen):
        assert searched.measures[str(number)]["nDCG@10"] == pytest.approx(trial.value)


def test_it_reports_on_queries_that_it_did_not_tune_on(index: Index) -> None:
    result = tune(index, QUERIES, QRELS, "MRR@10", 0.25)
    tuning, others = split(QUERIES, 0.25)
    assert result.tuning_queries == len(tuning)
    assert set(result.held_out.values["tuned"]["MRR@10"]) == {query.query_id for query in others}
    assert list(result.held_out.measures) == ["dense", "lexical", "hybrid", "tuned"]
    assert [one.against for one in result.comparisons] == ["dense", "lexical", "hybrid"]
    assert [trial.value for trial in result.sweep] == sorted((t.value for t in result.sweep), reverse=True)
    assert result.gain == pytest.approx(
        result.held_out.measures["tuned"]["MRR@10"] - result.held_out.measures["hybrid"]["MRR@10"]
    )


def test_an_index_of_one_leg_has_nothing_to_tune(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    builder.build(config := config_for(tmp_path, encoder={"model": "none"}))
    with open_index(config.index_path) as opened, pytest.raises(EvaluationError, match="two legs are needed"):
        tune(opened, QUERIES, QRELS)


def test_writing_keeps_comments_mode_and_links(tmp_path: Path) -> None:
    trial = Trial("minmax", {"dense": 0.3, "lexical": 0.7}, 0.5)
    real = tmp_path / "real.yaml"
    real.write_text("index: a  # here\nquery:\n  fusion:  # ours\n    preset: m3-mldr\n")
    real.chmod(0o600)
    (tmp_path / "config.yaml").symlink_to(real)
    write_setting(tmp_path / "config.yaml", trial)
    fusion = load_config(tmp_path / "config.yaml").query.fusion
    assert (fusion.method, fusion.weights, fusion.preset) == ("minmax", trial.weights, None)
    assert "# here" in real.read_text()
    assert "# ours" in real.read_text()
    assert (tmp_path / "config.yaml").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert "\n".join(setting_lines(trial)).endswith("    weights: {dense: 0.3, lexical: 0.7}")


def test_a_file_that_cannot_be_edited_stays(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text := "query:\n  fusion: {method: rrf}\n---\n")
    with pytest.raises(ConfigError):
        write_setting(path, Trial("minmax", {}, 0.0))
    assert path.read_text() == text
