"""What is remembered is not asked for again, and no more is kept than was allowed."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pipeline.query.shards.front.remembered import Remembered


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=12), st.integers(1, 12))
def test_every_key_has_its_value_whatever_was_forgotten(rounds: list[list[int]], most: int) -> None:
    asked: list[int] = []

    def ask(keys: Sequence[int]) -> dict[int, str]:
        asked.extend(keys)
        return {key: f"value {key}" for key in keys}

    remembered = Remembered[int, str](most)
    for keys in rounds:
        assert remembered.get(keys, ask) == {key: f"value {key}" for key in keys}
    if most >= 10:
        assert sorted(asked) == sorted({key for keys in rounds for key in keys})


def test_the_last_are_kept() -> None:
    remembered = Remembered[int, int](2)
    for number in (1, 2, 3):
        remembered.get([number], lambda keys: {key: key for key in keys})
    asked: list[int] = []
    remembered.get([1, 2, 3], lambda keys: asked.extend(keys) or {key: key for key in keys})  # type: ignore[func-returns-value]
    assert asked == [1]
