"""FAISS's scores only leave out rows that cannot be among the best."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.index.dense import search as dense
from pipeline.index.dense import write as dense_writer
from pipeline.index.dense.proposals import NOTHING, Proposed, joined, least

SCORES = st.lists(st.integers(-40, 40).map(lambda n: n / 64), max_size=30)


@settings(max_examples=200)
@given(st.lists(SCORES, min_size=1, max_size=4), st.integers(1, 12), st.integers(0, 99), st.data())
def test_all_that_may_be_among_the_best_stay(
    segments: list[list[float]], depth: int, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    found = []
    for exact in segments:
        error = data.draw(st.sampled_from([0.0, 0.02, 0.2, None]))
        noise = rng.uniform(-1, 1, len(exact)) * (error or 0) * 0.999
        near = None if error is None else (np.array(exact) + noise).astype(np.float32)
        found.append(Proposed(np.arange(len(exact)), near, (error or 0) + 1e-6))
    cut = least(found, depth)
    everything = sorted((score for exact in segments for score in exact), reverse=True)
    needed = everything[depth - 1] if len(everything) >= depth else -np.inf
    for exact, proposed in zip(segments, found, strict=True):
        kept = set(proposed.above(cut).tolist())
        assert kept >= {i for i, score in enumerate(exact) if score >= needed}


def test_by_hand() -> None:
    one = Proposed(np.array([3, 5, 8]), np.array([0.9, 0.5, 0.42], np.float32), 0.01)
    two = Proposed(np.array([1]), np.array([0.45], np.float32), 0.1)
    assert least([one, two], 3) == pytest.approx(0.41)
    assert one.above(least([one, two], 2)).tolist() == [3, 5]
    assert two.above(least([one, two], 1)).tolist() == []
    assert two.above(least([one, two], 2)).tolist() == [1], "0.45 may be 0.55"
    assert least([one, two], 5) == least([NOTHING], 1) == -np.inf, "with too few rows, each may be among the best"
    both = joined([one, two])
    assert (both.ordinals.tolist(), both.error) == ([3, 5, 8, 1], 0.1)
    unknown = joined([one, Proposed(np.array([9]))])
    assert unknown.scores is None
    assert unknown.above(2.0).tolist() == [3, 5, 8, 9]
    assert joined([one]) is one


@pytest.mark.parametrize("kind", ["SQfp16", "Flat", "IVF6,SQfp16"])
def test_faiss_scores_are_as_near_as_is_said(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3000, 96)).astype(np.float32)
    rows[:, 0] += 2
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    dense_writer.write(tmp_path, kind, 96, len(rows), [rows])
    index = dense.DenseIndex(tmp_path, len(rows))
    with ThreadPoolExecutor(2) as pool:
        for query, found in zip(rows[:20], index.propose(rows[:20], 50, None, pool), strict=True):
            assert found.scores is not None
            exact = index.scores(query, found.ordinals)
            assert np.abs(exact - found.scores).max() <= found.error < 0.01
            assert len(found.above(least([found], 50))) <= 66


def test_codes_that_are_coarse_say_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 32)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    dense_writer.write(tmp_path, "IVF4,SQ8", 32, len(rows), [rows])
    with ThreadPoolExecutor(2) as pool:
        (found,) = dense.DenseIndex(tmp_path, len(rows)).propose(rows[:1], 20, None, pool)
    assert found.scores is None
    assert len(found.above(1.0)) == len(found.ordinals) >= 20
