"""Batches: nothing lost, nothing twice, never wider than the budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.runtime import batching
from pipeline.models.runtime.batching import padded, padded_length, plan, same_width, token_batches, windows

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


def sevens(texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
    """A token a letter."""
    return [np.full(len(text), 7, np.int32) for text in texts]


@given(LENGTHS, st.integers(min_value=1, max_value=2000), st.sampled_from([0, 1, 50]))
def test_padding_is_little_and_the_model_has_room_for_it(lengths: list[int], budget: int, room: int) -> None:
    longest = max(lengths, default=0) + room
    batches = list(padded([np.full(n, 7, np.int32) for n in lengths], budget, 0, longest))
    assert sorted(int(i) for batch in batches for i in batch.rows) == list(range(len(lengths)))
    for batch in batches:
        assert batch.lengths.tolist() == [lengths[i] for i in batch.rows]
        assert batch.ids.shape[1] <= longest
        assert batch.ids.size <= budget or len(batch.rows) == 1
        assert batch.ids.shape[1] == padded_length(int(batch.lengths.max()), longest)
        np.testing.assert_array_equal(batch.ids == 7, batch.mask == 1)


@given(LENGTHS, st.integers(min_value=1, max_value=2000), st.sampled_from([0, 1, 50]))
def test_texts_share_a_batch_only_at_the_width_that_each_has_alone(
    lengths: list[int], budget: int, room: int
) -> None:
    longest = max(lengths, default=0) + room
    ids = [np.full(n, 7, np.int32) for n in lengths]
    batches = list(same_width(ids, budget, 0, longest))
    assert sorted(int(i) for batch in batches for i in batch.rows) == list(range(len(lengths)))
    for batch in batches:
        assert batch.ids.size <= budget or len(batch.rows) == 1
        assert batch.ids.shape[1] <= longest
        np.testing.assert_array_equal(batch.ids == 7, batch.mask == 1)
        for row, i in enumerate(batch.rows):
            (alone,) = same_width([ids[i]], budget, 0, longest)
            np.testing.assert_array_equal(alone.ids, batch.ids[row : row + 1])


def test_widths_by_hand() -> None:
    ids = [np.full(n, 7, np.int32) for n in (3, 4, 5, 9, 33, 36, 63)]
    assert [(b.rows.tolist(), b.ids.shape[1]) for b in same_width(ids, 90, 0, 63)] == [
        ([0, 1], 4),
        ([2], 8),
        ([3], 12),
        ([4, 5], 36),
        ([6], 63),
    ]


def test_a_model_sees_few_lengths() -> None:
    for longest in (254, 512, 8192):
        lengths = range(1, longest + 1)
        seen = {n: padded_length(n, longest) for n in lengths}
        assert len(set(seen.values())) <= 16 * (longest.bit_length() - 3)
        assert all(n <= to <= min(longest, n * 17 / 16) for n, to in seen.items())
        assert list(seen.values()) == sorted(seen.values())
    assert [padded_length(n, 8192) for n in (1, 31, 33, 100, 129, 1000, 5000)] == [1, 31, 34, 100, 136, 1024, 5120]


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
    batches = list(token_batches(texts, sevens, 6, pad_id=0, longest=5))
    for batch in batches:
        assert batch.lengths.tolist() == [len(texts[i]) for i in batch.rows]
        np.testing.assert_array_equal(batch.mask.sum(axis=1), batch.lengths)
        np.testing.assert_array_equal(batch.ids == 7, batch.mask == 1)
    assert sorted(int(i) for batch in batches for i in batch.rows) == list(range(len(texts)))


def test_halves_keep_all_rows_and_drop_padding() -> None:
    (batch,) = token_batches(["aaaa", "a", "aa"], sevens, 99, 0, 9)
    first, second = batch.halves()
    assert [first.ids.shape, second.ids.shape] == [(1, 4), (2, 2)]
    assert [*first.rows, *second.rows] == batch.rows.tolist()
