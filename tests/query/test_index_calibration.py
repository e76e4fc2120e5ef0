"""Calibrating whole indexes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from pipeline.job import build as builder
from pipeline.query.fusion.calibration import LEAST_TRIALS, Calibration, calibrate
from pipeline.query.fusion.index_calibration import (
    MOST_TRIALS,
    Sample,
    balanced,
    calibrate_index,
    is_stale,
    sample,
    trials_wanted,
)
from pipeline.query.fusion.pseudo_queries import PseudoQuery
from pipeline.query.searcher import Index, open_index
from tests.support.collection import config_for, write_documents

SUBJECTS = ["river", "bridge", "engine", "garden", "teacher", "market", "winter", "forest", "doctor", "island"]
VERBS = [
    "crosses",
    "follows",
    "repairs",
    "remembers",
    "ignores",
    "paints",
    "measures",
    "visits",
    "sells",
    "watches",
]
KOREAN = ["검색", "결과", "색인", "문서", "질의", "순위", "가중치", "세대", "발행", "토큰"]


def documents() -> dict[str, str]:
    rng = np.random.default_rng(0)
    texts = {}
    for i in range(60):
        name, verb = rng.choice(SUBJECTS), rng.choice(VERBS)
        words = rng.choice(SUBJECTS + VERBS, 12)
        texts[f"en{i:03}.txt"] = f"the {name} of number {i} {verb} " + " ".join([*words, name, verb, str(i)] * 2)
    for i in range(40):
        texts[f"ko{i:03}.txt"] = " ".join([*rng.choice(KOREAN, 8), f"{i}번"] * 2)
    return texts


def build(folder: Path, max_chunks: int) -> Index:
    write_documents(folder / "documents", documents())
    config = config_for(
        folder, encode={"shard_chunks": max_chunks}, segments={"max_chunks": max_chunks, "dense": "auto"}
    )
    builder.build(config)
    return open_index(config.index_path)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return build(tmp_path_factory.mktemp("trials"), 1000)


def test_each_script_is_calibrated_and_weights_are_shares(index: Index) -> None:
    found = calibrate_index(index)
    assert found is not None
    assert set(found.scripts) == {"latin", "hangul"}
    for weights in found.scripts.values():
        assert sum(weights.weights.values()) == pytest.approx(1)
        assert weights.queries >= LEAST_TRIALS
        assert all(0 <= value <= 1 for value in weights.mrr.values())
    assert Calibration.from_json(found.to_json()) == found


def test_the_same_chunks_in_other_segments_give_the_same_weights(index: Index, tmp_path: Path) -> None:
    with build(tmp_path, 32) as spread:
        assert len(spread.manifest.segments) > 1
        theirs = [(s.query, spread.snapshot.chunk(s.number).chunk_id) for s in sample(spread.snapshot, 40, 0)]
        ours = [(s.query, index.snapshot.chunk(s.number).chunk_id) for s in sample(index.snapshot, 40, 0)]
        assert theirs == ours
        one, other = calibrate_index(index), calibrate_index(spread)
        assert one is not None
        assert other is not None
        for script, weights in one.scripts.items():
            # the encoder's own batches differ in the last bits
            assert other.scripts[script].weights == pytest.approx(weights.weights, abs=0.02)


def test_another_seed_draws_other_chunks(index: Index) -> None:
    assert [s.number for s in sample(index.snapshot, 20, 0)] != [s.number for s in sample(index.snapshot, 20, 1)]


def test_a_passage_scores_as_if_it_stood_in_the_index(index: Index) -> None:
    texts = [index.snapshot.chunk(number).text for number in range(20)]
    passages = index.encoder.encode_documents(texts)
    leg = index.leg("lexical")
    queries = leg.prepare(index.encode(["the river of number 7", "검색 결과 3번"]))
    assert queries is not None
    for query in queries:
        expected = leg.scores(query, np.arange(20))
        assert [leg.passage_score(query, passages, i) for i in range(20)] == pytest.approx(expected, rel=1e-5)


def test_an_index_with_one_leg_has_nothing_to_fuse() -> None:
    assert calibrate_index(cast(Index, SimpleNamespace(legs=("dense",)))) is None


def test_texts_too_short_for_a_window_leave_the_calibration_empty(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents", {f"{i}.txt": f"number {i}" for i in range(30)})
    config = config_for(tmp_path)
    builder.build(config)
    with open_index(config.index_path) as short:
        found = calibrate_index(short)
        assert found == calibrate(short.legs, (), 30, short.manifest.fingerprints)
        assert found is not None
        assert found.scripts == {}


def test_how_many_trials() -> None:
    assert trials_wanted(10) == LEAST_TRIALS
    assert trials_wanted(6000) == 210
    assert trials_wanted(10_000_000) == MOST_TRIALS


def test_scripts_take_turns_and_rare_ones_are_left_out() -> None:
    def some(script: str, count: int) -> list[Sample]:
        return [Sample(i, PseudoQuery("w", "p", script)) for i in range(count)]

    drawn = balanced([*some("latin", 300), *some("hangul", LEAST_TRIALS + 5), *some("thai", LEAST_TRIALS - 1)], 100)
    assert len(drawn) == 100
    assert sum(one.query.script == "hangul" for one in drawn) == LEAST_TRIALS + 5
    assert not any(one.query.script == "thai" for one in drawn)
    three = [one for script in ("latin", "han", "kana") for one in some(script, 60)]
    assert len(balanced(three, 48)) == 3 * LEAST_TRIALS


def test_a_calibration_goes_stale_as_the_index_grows() -> None:
    assert is_stale(None, 100)
    assert not is_stale(Calibration(100, {}), 119)
    assert is_stale(Calibration(100, {}), 121)
    assert is_stale(Calibration(100, {}), 79)
