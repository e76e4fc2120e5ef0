"""The compiled kernel gives the bits that NumPy gives."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.index.lexical import kernel, postings
from pipeline.index.lexical import search as lexical
from pipeline.index.lexical.search import InvertedIndex, Saturation, SparseQuery
from pipeline.records import SparseRows


@pytest.fixture(scope="module", autouse=True)
def compiled() -> kernel.Kernel:
    made = kernel.load()
    assert made is not None
    return made


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 90), st.booleans(), st.booleans())
def test_same_bits_as_numpy(pool, seed: int, rows: int, depth: int, bm25: bool, with_deletes: bool) -> None:
    rng = np.random.default_rng(seed)
    few = rng.random() < 0.5  # few distinct weights make many ties
    documents = [
        {
            int(t): float(rng.integers(1, 3) if few else rng.random() + 0.01)
            for t in rng.integers(0, 30, rng.integers(0, 12))
        }
        for _ in range(rows)
    ]
    ids = np.unique(rng.integers(0, 34, 6)).astype(np.uint64)
    query = SparseQuery(ids, (rng.random(len(ids)) + 0.1).astype(np.float32))
    deleted = rng.random(rows) < 0.3 if with_deletes else None
    saturation = Saturation(1.2, (rng.random(rows) + 0.3).astype(np.float32)) if bm25 else None
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "TILE_CHUNKS", 64)
        patch.setattr(lexical, "_WORTH_A_THREAD", 1)
        postings.write(Path(folder), [SparseRows.from_dicts(documents)])
        index = InvertedIndex(Path(folder), rows)
        found = [index.search(query, depth, deleted, saturation, threads) for threads in (None, pool)]
        everything = np.arange(rows)
        parts = index.contributions(query, everything, saturation)
        patch.setattr(kernel._kernel, "_made", None)
        assert parts.tobytes() == index.contributions(query, everything, saturation).tobytes()
        plain = index.search(query, depth, deleted, saturation)
    for ordinals, scores in found:
        assert ordinals.tolist() == plain[0].tolist()
        assert scores.tobytes() == plain[1].tobytes()


def test_any_depth_over_tiles_of_real_size(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    rows = 70_000  # two tiles of real size
    weights = np.random.default_rng(1).random(rows).astype(np.float32) + 0.5
    matrix = SparseRows(np.arange(rows + 1), np.full(rows, 7, np.uint64), weights)
    postings.write(tmp_path, [matrix])
    index = InvertedIndex(tmp_path, rows)
    query = SparseQuery(np.array([7], np.uint64), np.array([2.0], np.float32))
    for depth in (1, 1024, 1025, rows, rows * 2):
        ordinals, scores = index.search(query, depth, None, None, pool)
        expected = np.argsort(-weights, kind="stable")[:depth]
        cut = weights[expected[-1]]
        assert set(expected) <= set(ordinals)
        assert (weights[ordinals] >= cut).all()
        assert scores.tolist() == (weights[ordinals] * np.float32(2)).tolist()


def test_it_is_compiled_only_after_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []
    monkeypatch.setattr(kernel._kernel, "_thread", None)
    monkeypatch.setattr(kernel._kernel, "_work", 0)
    monkeypatch.setattr(kernel._kernel, "begin", lambda: started.append(True))
    kernel.count(kernel.WARRANTED_POSTINGS - 1)
    assert not started
    kernel.count(1)
    assert started
