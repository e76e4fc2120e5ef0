"""The dense leg is exact, deterministic, and keeps equal scores together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError, CorruptIndexError
from pipeline.index.choices import DenseChoice
from pipeline.index.dense import search as dense
from pipeline.index.dense import write as dense_writer
from pipeline.index.manifest import DenseParameters


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
    dense_writer.write(tmp_path, kind, 16, 500, [rows[:123], rows[123:]])
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
    dense_writer.write(tmp_path, "SQfp16", 8, 300, [rows])
    with ThreadPoolExecutor(1) as pool:
        ordinals, _ = dense.DenseIndex(tmp_path, 300).search(rows[3:4], 5, None, pool)[0]
    assert ordinals.tolist() == [3, *range(50, 250)]


@pytest.mark.parametrize("kind", ["SQ8", "IVF8,SQfp16", "HNSW16", "PCA8,IVF8,Flat"])
def test_lossy_kinds_score_from_the_kept_rows(tmp_path: Path, kind: str) -> None:
    rows = unit_rows(600, 16)
    dense_writer.write(tmp_path, kind, 16, 600, [rows])
    index = dense.DenseIndex(tmp_path, 600)
    with ThreadPoolExecutor(1) as pool:
        ordinals, scores = index.search(rows[9:10], 10, None, pool)[0]
    assert ordinals[0] == 9
    assert scores.tobytes() == index.scores(rows[9], ordinals).tobytes()
    assert scores == pytest.approx(rows[ordinals] @ rows[9], abs=2e-3)


def test_unknown_kind_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"segments\.dense='Flatt'"):
        dense_writer.write(tmp_path, "Flatt", 4, 1, [unit_rows(1, 4)])


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    dense_writer.write(tmp_path, "SQfp16", 4, 3, [unit_rows(3, 4)])
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
    dense_writer.write(tmp_path, kind, 33, count, [rows[:123], rows[123:]])
    theirs = dense.faiss.index_factory(33, kind, dense.faiss.METRIC_INNER_PRODUCT)
    theirs.is_trained = True
    theirs.add(rows)
    dense.faiss.write_index(theirs, str(tmp_path / "theirs"))
    assert (tmp_path / dense.INDEX_FILE).read_bytes() == (tmp_path / "theirs").read_bytes()


def clustered_rows(count: int, dimension: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((40, dimension))
    rows = centres[rng.integers(0, 40, count)] + spread * rng.standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def recall_by_hand(index: dense.DenseIndex, rows: np.ndarray, queries: np.ndarray) -> float:
    stored = rows.astype(np.float16).astype(np.float32)
    with ThreadPoolExecutor(1) as pool:
        found = index.search(queries, 10, None, pool)
    shares = [
        len(set(np.argsort(-(stored @ query), kind="stable")[:10].tolist()) & set(ordinals.tolist())) / 10
        for query, (ordinals, _) in zip(queries, found, strict=True)
    ]
    return float(np.mean(shares))


@pytest.mark.parametrize("kind", ["IVF64,SQfp16", "IVF64,RaBitQfs", "SQ4", "HNSW8", "OPQ8,IVF32,PQ8x4fs"])
def test_recall_target_is_met_and_costs_no_more_than_needed(tmp_path: Path, kind: str) -> None:
    rows = clustered_rows(4000, 32, 0.7)
    dense_writer.write(tmp_path, kind, 32, 4000, [rows])
    modest = dense_writer.tune(tmp_path, kind, 4000, 0.6)
    strict = dense_writer.tune(tmp_path, kind, 4000, 0.97)
    assert modest is not None
    assert strict is not None
    assert strict.recall >= 0.97
    assert (modest.probes or 1) * modest.refine <= (strict.probes or 1) * strict.refine
    queries = rows[7::97]
    assert recall_by_hand(dense.DenseIndex(tmp_path, 4000, strict), rows, queries) >= 0.94


def test_an_exact_index_has_nothing_to_tune(tmp_path: Path) -> None:
    dense_writer.write(tmp_path, "SQfp16", 8, 50, [unit_rows(50, 8)])
    assert dense_writer.tune(tmp_path, "SQfp16", 50, 0.99) is None


def test_a_target_out_of_reach_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = unit_rows(3000, 32)
    dense_writer.write(tmp_path, "IVF4,PQ2x4", 32, 3000, [rows])
    with caplog.at_level("WARNING"):
        best = dense_writer.tune(tmp_path, "IVF4,PQ2x4", 3000, 1.0)
    assert best is not None
    assert best.recall < 1
    assert "recall_target is 1.000" in caplog.text


@pytest.mark.parametrize("kind", ["IVF64,SQfp16", "IVF64,RaBitQfs", "HNSW8"])
@pytest.mark.parametrize("kept", [0, 1, 7, 150, 3999])
def test_a_filter_is_never_short_of_what_it_keeps(tmp_path: Path, kind: str, kept: int) -> None:
    rows = clustered_rows(4000, 16, 0.3)
    dense_writer.write(tmp_path, kind, 16, 4000, [rows])
    index = dense.DenseIndex(tmp_path, 4000, DenseParameters(kind, 1, 1, 0.5))
    mask = np.ones(4000, np.bool_)
    mask[np.random.default_rng(3).permutation(4000)[:kept]] = False
    with ThreadPoolExecutor(1) as pool:
        for ordinals, _ in index.search(rows[:3], 20, mask, pool):
            assert len(ordinals) >= min(20, kept)
            assert not mask[ordinals].any()


@pytest.mark.parametrize(
    ("chunks", "total", "kind"),
    [
        (250_000, 250_000, "SQfp16"),
        (250_000, 250_001, "IVF2000,SQfp16"),
        (100_000, 1_000_000, "IVF1264,SQfp16"),
        (1000, 1_000_000, "SQfp16"),
        (250_000, 5_000_001, "IVF2000,RaBitQfs"),
    ],
)
def test_the_kind_follows_the_size_of_the_index(chunks: int, total: int, kind: str) -> None:
    assert DenseChoice("auto", 0.9).settled(chunks, total) == DenseChoice(kind, 0.9)
    assert DenseChoice("HNSW32", 0.9).settled(chunks, total) == DenseChoice("HNSW32", 0.9)


def test_a_kind_that_cannot_skip_deleted_chunks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot search it around deleted chunks"):
        dense_writer.write(tmp_path, "PQ4x4", 16, 500, [unit_rows(500, 16)])


def test_a_list_that_names_a_row_beyond_the_last_is_corrupt(tmp_path: Path) -> None:
    dense_writer.write(tmp_path, "IVF1,SQ8", 8, 50, [unit_rows(50, 8)])
    path = tmp_path / dense.INDEX_FILE
    ids = np.arange(50, dtype=np.int64)
    assert path.read_bytes().count(ids.tobytes()) == 1
    poisoned = ids.copy()
    poisoned[7] = 1_000_000
    path.write_bytes(path.read_bytes().replace(ids.tobytes(), poisoned.tobytes()))
    index = dense.DenseIndex(tmp_path, 50)
    with ThreadPoolExecutor(1) as pool, pytest.raises(CorruptIndexError, match="names rows beyond its 50"):
        index.search(unit_rows(1, 8), 50, None, pool)


@pytest.mark.parametrize("depth", [1, 10, 99])
def test_a_scan_in_blocks_finds_what_one_product_does(
    tmp_path: Path, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Best rows in any block, and all repetitions of the last one."""
    monkeypatch.setattr(dense, "_SCAN_ROWS", 7)
    rows = unit_rows(100, 8)
    rows[[3, 50, 97]] = rows[20]
    dense_writer.write(tmp_path, "Flat", 8, 100, [rows])
    queries = rows[[20, 60]]
    found = dense.DenseIndex(tmp_path, 100).scan(queries, depth)
    for query, ordinals in zip(queries, found, strict=True):
        scores = rows @ query
        assert sorted(ordinals) == np.flatnonzero(scores >= np.sort(scores)[-depth] - 1e-5).tolist()
