"""Tuning: an honest split, a sweep that agrees with real searches, and a file that keeps its comments."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import FusionSettings, load_config
from pipeline.errors import ConfigError, EvaluationError
from pipeline.evaluate.runs import System, evaluate
from pipeline.evaluate.setting import setting_lines, write_setting
from pipeline.evaluate.significance import Comparison
from pipeline.evaluate.tune import Trial, split, tune
from pipeline.job import build as builder
from pipeline.query.files.batch import Query
from pipeline.query.searcher import Index, open_index
from tests.support.collection import config_for, write_documents

WORDS = ["nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"]
WORDS += ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"]
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
    assert (len(one), len(other)) == (18, 6)
    assert {q.query_id for q in one} | {q.query_id for q in other} == QRELS.keys()
    assert split(QUERIES[::-1], 0.25) == (one, other)
    assert [len(part) for part in split(QUERIES[:20], 0.5)] == [10, 10]


@pytest.mark.parametrize(
    ("count", "share", "says"),
    [
        (9, 0.5, "9 judged queries leave 5 to tune with"),
        (19, 0.5, "19 judged queries leave 9 to tune with, and 10 are needed"),
        (12, 0.01, "leaves none to judge by"),
        (24, float("nan"), "--held-out nan: give a share between 0 and 1"),
        (24, 1.0, "--held-out 1: give a share"),
        (24, -0.5, "--held-out -0.5: give a share"),
    ],
)
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


def test_methods_that_rank_alike_are_swept_once(index: Index) -> None:
    assert "zscore" not in {trial.method for trial in tune(index, QUERIES, QRELS).sweep}
    tuning = [query.text for query in QUERIES]
    for share in (0.1, 0.5, 0.8):
        ranked = [
            index.rank(
                tuning, 24, fusion=FusionSettings(method=method, weights={"dense": share, "lexical": 1 - share})
            )
            for method in ("dbsf", "zscore")
        ]
        for one, other in zip(*ranked, strict=True):
            assert one.ids[one.order].tolist() == other.ids[other.order].tolist()


@pytest.mark.parametrize(("gain", "p", "better"), [(0.2, 0.01, True), (0.2, 0.05, False), (-0.2, 0.01, False)])
def test_a_gain_counts_where_the_test_says_so(index: Index, gain: float, p: float, better: bool) -> None:
    comparison = Comparison("tuned", "hybrid", "nDCG@10", gain, p, 1, 1, 1)
    result = dataclasses.replace(tune(index, QUERIES, QRELS), comparisons=(comparison,))
    assert result.better == better


@pytest.mark.parametrize("text", ["", "query:\n  k: 3\n", "query: {k: 3}\n", "query:\n  fusion:\n    rrf_k: 3.0\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_written_keys_stand_as_printed_and_lines_end_as_they_did(tmp_path: Path, text: str, end: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(("index: a  # ours\n" + text).replace("\n", end).encode())
    write_setting(path, Trial("rrf", {"dense": 1.0, "lexical": 2.0}, 0.5))
    written = path.read_bytes().decode()
    assert written.count("\n") == written.count(end)
    assert ("\r" in written) == (end == "\r\n")
    assert written.index("method") < written.index("weights") < written.index("dense") < written.index("lexical")
    assert load_config(path).query.fusion == FusionSettings.model_validate(
        {"method": "rrf", "weights": {"dense": 1.0, "lexical": 2.0}, **({"rrf_k": 3.0} if "rrf_k" in text else {})}
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
