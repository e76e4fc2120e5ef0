"""A key has the type of all its values; what fits no other type is text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.index.columns.kinds import TYPES, Kind, as_kind, as_text, common, kind_of, stored_type


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, Kind.NOTHING),
        (True, Kind.BOOL),
        (0, Kind.INT),
        (-(2**63), Kind.INT),
        (2**63, Kind.TEXT),
        (1.0, Kind.FLOAT),
        ([], Kind.LIST),
        ("1", Kind.TEXT),
        ({"a": 1}, Kind.TEXT),
    ],
)
def test_the_kind_of_a_value(value: object, kind: Kind) -> None:
    assert kind_of(value) is kind


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], Kind.NOTHING),
        ([Kind.NOTHING], Kind.NOTHING),
        ([Kind.INT, Kind.NOTHING], Kind.INT),
        ([Kind.INT, Kind.FLOAT], Kind.FLOAT),
        ([Kind.INT, Kind.BOOL], Kind.TEXT),
        ([Kind.FLOAT, Kind.LIST], Kind.TEXT),
        ([Kind.TEXT, Kind.INT, Kind.FLOAT], Kind.TEXT),
    ],
)
def test_the_kind_of_several(kinds: list[Kind], expected: Kind) -> None:
    assert common(kinds) is expected


@given(st.lists(st.sampled_from(Kind), max_size=6), st.integers(0, 6))
def test_it_does_not_matter_which_values_stand_in_which_segment(kinds: list[Kind], cut: int) -> None:
    assert common([common(kinds[:cut]), common(kinds[cut:])]) is common(kinds)


def test_lists_hold_texts_and_numbers_are_of_one_type() -> None:
    assert as_kind(["a", 1, None, ["b"]], Kind.LIST) == ["a", "1", "null", '["b"]']
    assert [type(as_kind(value, Kind.FLOAT)) for value in (1, 1.5)] == [float, float]
    assert as_text({"key": "값"}) == '{"key": "값"}'


@pytest.mark.parametrize("kind", [Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.LIST])
def test_what_is_no_text_is_stored_as_itself_and_as_text(kind: Kind) -> None:
    assert [stored_type(kind).field(i).type for i in range(2)] == [TYPES[kind], TYPES[Kind.TEXT]]
