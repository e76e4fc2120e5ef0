"""Boosts as they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import QuerySettings, parse_config
from pipeline.config.boosts import HIGHEST, LOWEST, Conditional, Recency, Saturation, parse_boost, parse_boosts
from pipeline.errors import ConfigError


def test_each_form_is_read() -> None:
    assert parse_boost(" recency( updated ,30d)") == Recency("recency( updated ,30d)", "updated", 30.0, 0.5)
    assert parse_boost("recency(at, 12h, 1)") == Recency("recency(at, 12h, 1)", "at", 0.5, 1.0)
    assert parse_boost("saturation(stars, 100, 0.2)") == Saturation(
        "saturation(stars, 100, 0.2)", "stars", 100, 0.2
    )
    found = parse_boost("1.2 if lang = 'ko' and x in (1, 2)")
    assert found == Conditional("1.2 if lang = 'ko' and x in (1, 2)", 1.2, "lang = 'ko' and x in (1, 2)")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no boost; write recency"),
        ("stars", "is no boost"),
        ("nearness(x, 3)", "is no boost"),
        ("recency(updated)", "a field, a half-life"),
        ("recency(updated, 30)", "a half-life such as 12h"),
        ("recency(updated, 0d)", "a half-life such as 12h"),
        ("recency(updated, 30d, 1.5)", "a weight above 0 and up to 1"),
        ("saturation(stars, -5)", "above 0"),
        ("saturation(stars, 5, 0)", "a weight above 0"),
        ("3 if lang = 'ko'", "a factor from 0.5 to 2"),
        ("nan if lang = 'ko'", "a factor from 0.5 to 2"),
        ("0.1 if lang = 'ko'", "a factor from 0.5 to 2"),
    ],
)
def test_what_is_no_boost_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_boost(text)


def test_nine_boosts_are_one_too_many() -> None:
    assert len(parse_boosts(["1.5 if true"] * 8)) == 8
    with pytest.raises(ValueError, match="9 boosts; at most 8"):
        parse_boosts(["1.5 if true"] * 9)


@given(st.text(max_size=30) | st.from_regex(r"(recency|saturation)\(\w*,[ \w.]*(,[\d.]*)?\)", fullmatch=True))
def test_anything_is_read_within_the_bounds_or_refused(text: str) -> None:
    try:
        found = parse_boost(text)
    except ValueError:
        return
    factor = found.factor if isinstance(found, Conditional) else 1 + found.weight
    assert LOWEST <= factor <= HIGHEST


def test_a_configured_boost_that_cannot_be_read_is_refused_with_its_key() -> None:
    assert QuerySettings(boosts=["recency(updated, 30d)"]).boosts == ["recency(updated, 30d)"]
    with pytest.raises(ConfigError, match=r"query\.boosts.*half-life"):
        parse_config({"query": {"boosts": ["recency(updated, often)"]}})
