"""The dense leg is exact, deterministic, and keeps equal scores together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError, CorruptIndexError
from pipeline.index import dense


def unit_rows(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("kind", "dtype"), [("SQfp16", np.float16), ("Flat", np.float32)])
@pytest.mark.parametrize("view_rows", [37, 10_000])
def test_flat_search_equals_brute_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, dtype: type, view_rows: int
) -> None:
    monkeypatch.setattr(dense, "_VIEW_ROWS", view_rows)
    rows = unit_rows(500, 16)
    dense.write(tmp_path, kind, 16, 500, [rows[:123], rows[123:]])
    index = dense.DenseIndex(tmp_path, 500)
    deleted = np.random.default_rng(1).random(500) < 0.3
    queries = unit_rows(5, 16, seed=2)
    stored = rows.astype(dtype).astype(np.float64)
    with ThreadPoolExecutor(2) as pool:
        for mask in (None, deleted):
            for query, (ordinals, scores) in zip(queries, index.search(queries, 7, mask, pool), strict=True):
                exact = (stored * query.astype(np.float64)).sum(axis=1).astype(np.float32)
                if mask is not None:
                    exact[mask] = -2
                expected = np.argsort(-exact, kind="stable")[:7]
                assert ordinals.tolist() == expected.tolist()
                assert scores.tobytes() == exact[expected].tobytes()


def test_equal_vectors_are_all_found(tmp_path: Path) -> None:
    rows = unit_rows(300, 8)
    rows[50:250] = rows[3]
    dense.write(tmp_path, "SQfp16", 8, 300, [rows])
    with ThreadPoolExecutor(1) as pool:
        ordinals, _ = dense.DenseIndex(tmp_path, 300).search(rows[3:4], 5, None, pool)[0]
    assert ordinals.tolist() == [3, *range(50, 250)]


@pytest.mark.parametrize("kind", ["SQ8", "IVF8,SQfp16", "HNSW16", "PCA8,IVF8,Flat"])
def test_lossy_kinds_score_from_the_kept_rows(tmp_path: Path, kind: str) -> None:
    rows = unit_rows(600, 16)
    dense.write(tmp_path, kind, 16, 600, [rows])
    index = dense.DenseIndex(tmp_path, 600)
    with ThreadPoolExecutor(1) as pool:
        ordinals, scores = index.search(rows[9:10], 10, None, pool)[0]
    assert ordinals[0] == 9
    assert scores.tobytes() == index.scores(rows[9], ordinals).tobytes()
    assert scores == pytest.approx(rows[ordinals] @ rows[9], abs=2e-3)


def test_unknown_kind_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"segments\.dense='Flatt'"):
        dense.write(tmp_path, "Flatt", 4, 1, [unit_rows(1, 4)])


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    dense.write(tmp_path, "SQfp16", 4, 3, [unit_rows(3, 4)])
    with pytest.raises(CorruptIndexError, match="3 vectors where the manifest says 4"):
        dense.DenseIndex(tmp_path, 4)
    path = tmp_path / dense.INDEX_FILE
    content = path.read_bytes()
    for size in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(CorruptIndexError, match=r"dense\.faiss"):
            dense.DenseIndex(tmp_path, 3)


@pytest.mark.parametrize("kind", ["Flat", "SQfp16"])
@pytest.mark.parametrize("count", [1, 500])
def test_a_streamed_flat_file_is_the_one_that_faiss_writes(tmp_path: Path, kind: str, count: int) -> None:
    rows = unit_rows(count, 33).astype(np.float16).astype(np.float32)
    dense.write(tmp_path, kind, 33, count, [rows[:123], rows[123:]])
    theirs = dense.faiss.index_factory(33, kind, dense.faiss.METRIC_INNER_PRODUCT)
    theirs.is_trained = True
    theirs.add(rows)
    dense.faiss.write_index(theirs, str(tmp_path / "theirs"))
    assert (tmp_path / dense.INDEX_FILE).read_bytes() == (tmp_path / "theirs").read_bytes()
