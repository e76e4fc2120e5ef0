"""Products of many queries find what a full sort finds, ties and deletions included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.index.dense import batch as dense_batch


def unit(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    vectors = rng.standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(max_examples=30)
@given(st.integers(0, 9), st.integers(1, 60), st.integers(1, 70), st.booleans(), st.sampled_from(["f2", "f4"]))
def test_nothing_that_may_be_among_the_best_is_missed(
    seed: int, count: int, depth: int, with_deletions: bool, dtype: str
) -> None:
    rng = np.random.default_rng(seed)
    rows = unit(rng, count, 8)[rng.integers(0, count, count)].astype(dtype)  # some rows are equal
    queries = unit(rng, 11, 8)
    deleted = rng.random(count) < 0.4 if with_deletions else None
    alive = np.arange(count) if deleted is None else np.flatnonzero(~deleted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_batch, "_BLOCK_ROWS", 7)
        patch.setattr(dense_batch, "_BLOCK_QUERIES", 4)
        found = dense_batch.candidates(rows, queries, depth, deleted)
    assert len(found) == len(queries)
    for query, ordinals in zip(queries, found, strict=True):
        scores = rows.astype(np.float64) @ query.astype(np.float64)
        assert set(ordinals.tolist()) <= set(alive.tolist())
        assert (np.diff(ordinals) > 0).all()
        cut = np.sort(scores[alive])[::-1][:depth].min(initial=np.inf)
        assert set(ordinals.tolist()) >= set(alive[scores[alive] >= cut].tolist())


def test_it_keeps_few() -> None:
    rng = np.random.default_rng(0)
    rows, queries = unit(rng, 50_000, 16).astype(np.float16), unit(rng, 20, 16)
    found = dense_batch.candidates(rows, queries, 10, None)
    assert max(len(ordinals) for ordinals in found) < 20
