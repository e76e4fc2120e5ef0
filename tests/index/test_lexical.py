"""The inverted index scores exactly, however its rows are spread over blocks and tiles."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CorruptIndexError
from pipeline.index.lexical import postings
from pipeline.index.lexical.search import InvertedIndex, Saturation, SparseQuery
from pipeline.records import SparseRows

weight = st.floats(0.125, 8.0, width=16)
row = st.dictionaries(st.integers(0, 12) | st.integers(2**63, 2**64 - 1), weight, max_size=8)


def query_of(weights: dict[int, float]) -> SparseQuery:
    ids = np.array(sorted(weights), np.uint64)
    return SparseQuery(ids, np.array([weights[int(i)] for i in ids], np.float32))


def dot(query: dict[int, float], document: dict[int, float]) -> float:
    return sum(value * document[token] for token, value in query.items() if token in document)


@given(st.lists(row, min_size=1, max_size=40), row, st.data())
def test_search_is_the_dot_product_of_every_row(
    rows: list[dict[int, float]], query: dict[int, float], data
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    blocks = [SparseRows.from_dicts(rows[a:b]) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    deleted = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "TILE_CHUNKS", 8)
        postings.write(Path(folder), blocks)
        index = InvertedIndex(Path(folder), len(rows))
        sparse = query_of(query)
        ordinals, scores = index.search(sparse, len(rows), deleted, None)
        expected = {
            i: dot(query, document)
            for i, document in enumerate(rows)
            if dot(query, document) > 0 and not deleted[i]
        }
        assert dict(zip(ordinals.tolist(), scores.tolist(), strict=True)) == pytest.approx(expected, rel=1e-5)
        assert list(scores) == sorted(scores, reverse=True)
        everything = np.arange(len(rows))
        assert index.scores(sparse, everything, None)[ordinals].tobytes() == scores.tobytes()
        frequencies = index.document_frequencies(sparse.token_ids, deleted)
        live = [document for document, gone in zip(rows, deleted, strict=True) if not gone]
        assert frequencies.tolist() == [sum(t in document for document in live) for t in sorted(query)]
        assert index.lengths.tolist() == pytest.approx([sum(document.values()) for document in rows])


def test_bm25_by_hand(tmp_path: Path) -> None:
    # k1 = 1.2, b = 0.75, lengths 3 and 1, mean 2: norms 1.2 · (0.25 + 0.75 · 1.5) = 1.65 and 0.75.
    postings.write(tmp_path, [SparseRows.from_dicts([{7: 2.0, 9: 1.0}, {7: 1.0}])])
    index = InvertedIndex(tmp_path, 2)
    saturation = Saturation(1.2, np.array([1.65, 0.75], np.float32))
    ordinals, scores = index.search(query_of({7: 0.5}), 10, None, saturation)
    expected = [0.5 * 2 * 2.2 / (2 + 1.65), 0.5 * 1 * 2.2 / (1 + 0.75)]
    assert ordinals.tolist() == [1, 0]
    assert scores.tolist() == pytest.approx(sorted(expected, reverse=True))


def test_ties_at_the_cut_are_all_kept(tmp_path: Path) -> None:
    postings.write(tmp_path, [SparseRows.from_dicts([{1: 1.0}, {1: 2.0}, {1: 1.0}, {1: 1.0}])])
    ordinals, _ = InvertedIndex(tmp_path, 4).search(query_of({1: 1.0}), 2, None, None)
    assert ordinals.tolist() == [1, 0, 2, 3]


def test_truncated_postings_are_refused(tmp_path: Path) -> None:
    postings.write(tmp_path, [SparseRows.from_dicts([{1: 1.0}])])
    path = tmp_path / postings.POSTINGS_FILE
    content = path.read_bytes()
    for size in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(CorruptIndexError, match=r"postings\.arrow"):
            InvertedIndex(tmp_path, 1)
