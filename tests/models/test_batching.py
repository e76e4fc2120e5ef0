"""Batches: nothing lost, nothing twice, never wider than the budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models import batching
from pipeline.models.batching import plan, token_batches, windows

LENGTHS = st.lists(st.integers(min_value=1, max_value=600), max_size=60)


@given(LENGTHS, st.integers(min_value=1, max_value=2000))
def test_every_text_once_within_the_budget_longest_first(lengths: list[int], budget: int) -> None:
    batches = plan(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    widths = [lengths[batch[0]] for batch in batches]
    assert widths == sorted(widths, reverse=True)
    for batch, width in zip(batches, widths, strict=True):
        assert max(lengths[i] for i in batch) == width
        assert len(batch) * width <= budget or len(batch) == 1


def test_plan_by_hand() -> None:
    assert [batch.tolist() for batch in plan([2, 9, 4, 4, 1], 8)] == [[1], [2, 3], [0, 4]]


@pytest.fixture
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "WINDOW_TEXTS", 3)
    monkeypatch.setattr(batching, "WINDOW_CHARACTERS", 10)


@pytest.mark.usefixtures("_small_windows")
def test_windows_are_bounded_in_texts_and_characters() -> None:
    assert list(windows(["a"] * 7)) == [(0, 3), (3, 6), (6, 7)]
    assert list(windows(["a" * 8, "b" * 3, "c" * 50, "d"])) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert list(windows([])) == []


@pytest.mark.usefixtures("_small_windows")
def test_rows_lead_back_to_the_texts() -> None:
    texts = ["a" * n for n in (3, 1, 2, 5, 4, 1, 2)]
    batches = list(token_batches(texts, lambda part: [np.full(len(t), 7, np.int32) for t in part], 6, pad_id=0))
    for batch in batches:
        assert batch.lengths.tolist() == [len(texts[i]) for i in batch.rows]
        np.testing.assert_array_equal(batch.mask.sum(axis=1), batch.lengths)
        np.testing.assert_array_equal(batch.ids == 7, batch.mask == 1)
    assert sorted(int(i) for batch in batches for i in batch.rows) == list(range(len(texts)))


def test_halves_keep_all_rows_and_drop_padding() -> None:
    (batch,) = token_batches(["aaaa", "a", "aa"], lambda part: [np.full(len(t), 7, np.int32) for t in part], 99, 0)
    first, second = batch.halves()
    assert [first.ids.shape, second.ids.shape] == [(1, 4), (2, 2)]
    assert [*first.rows, *second.rows] == batch.rows.tolist()
