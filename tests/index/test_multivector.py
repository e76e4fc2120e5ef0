"""Multi-vectors come back as they went in, and score as late interaction says."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CorruptIndexError
from pipeline.index.multivector import search as multivector
from pipeline.index.multivector.search import MultiVectorIndex, Precision, late_interaction
from pipeline.records import MultiVectors


def rows_of(lengths: list[int], dimension: int = 8, seed: int = 0) -> MultiVectors:
    vectors = np.random.default_rng(seed).standard_normal((sum(lengths), dimension)).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return MultiVectors(np.cumsum([0, *lengths]), vectors / np.maximum(norms, 1e-9))


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 1e-3), ("int8", 5e-3)])
def test_round_trip(tmp_path: Path, precision: Precision, tolerance: float) -> None:
    rows = rows_of([3, 0, 5, 1, 7])
    parts = list(multivector.split(rows, 2))
    multivector.write(tmp_path / multivector.MULTIVECTOR_FILE, [multivector.to_batch(p, precision) for p in parts])
    index = MultiVectorIndex(tmp_path, 5)
    assert (index.dimension, index.precision) == (8, precision)
    for order in ([0, 1, 2, 3, 4], [4, 2, 2], [1], []):
        got = index.vectors(order)
        expected = [rows.vectors[rows.offsets[i] : rows.offsets[i + 1]] for i in order]
        assert np.diff(got.offsets).tolist() == [len(part) for part in expected]
        assert got.vectors == pytest.approx(np.concatenate([np.zeros((0, 8)), *expected]), abs=tolerance)
    size = (tmp_path / multivector.MULTIVECTOR_FILE).stat().st_size
    assert size > 16 * multivector.bytes_per_token(8, precision)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 4))
def test_late_interaction_is_the_mean_of_the_best_matches(lengths: list[int], query_tokens: int) -> None:
    passages, query = rows_of(lengths), rows_of([query_tokens], seed=1).vectors
    for i, score in enumerate(late_interaction(query, passages)):
        tokens = passages.vectors[passages.offsets[i] : passages.offsets[i + 1]]
        expected = np.mean([max(q @ t for t in tokens) for q in query]) if len(tokens) and len(query) else 0
        assert score == pytest.approx(expected, abs=1e-6)


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / multivector.MULTIVECTOR_FILE
    multivector.write(path, [multivector.to_batch(rows_of([2, 2]), "int8")])
    with pytest.raises(CorruptIndexError, match="holds 2 chunks where the manifest says 3"):
        MultiVectorIndex(tmp_path, 3)
    content = path.read_bytes()
    for size in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(CorruptIndexError, match="multivector"):
            MultiVectorIndex(tmp_path, 2)


def test_a_score_does_not_depend_on_the_passages_beside_it() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    offsets = np.array([0, 7, 20, 21, 44, 60])
    together = late_interaction(vectors[:5], MultiVectors(offsets, vectors))
    for i, (start, end) in enumerate(itertools.pairwise(offsets.tolist())):
        alone = late_interaction(vectors[:5], MultiVectors(np.array([0, end - start]), vectors[start:end]))
        assert alone.tolist() == [together[i]]
