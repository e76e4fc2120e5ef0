"""Boosts as people write them: `recency(updated, 30d)`, `saturation(stars, 100)`, `1.2 if lang = 'ko'`.

Each multiplies a chunk's score by a factor between `LOWEST` and `HIGHEST`; a chunk that it says nothing of keeps
its score.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

LOWEST, HIGHEST = 0.5, 2.0
"""A factor is in this range."""
WEIGHT = 0.5
"""What recency and saturation add at most, unless a third argument says otherwise."""
MOST = 8
"""How many boosts one search may have."""

SHAPES = "recency(updated, 30d), saturation(stars, 100) or 1.2 if lang = 'ko'"
_UNITS = {"h": 1 / 24, "d": 1.0, "w": 7.0, "y": 365.25}
_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)
_CONDITION = re.compile(r"\s*(\S+)\s+if\s+(.+)", re.DOTALL)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([hdwy])", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Recency:
    """1 + `weight` · 2^(-age / `half_life_days`), the age being that of the date in `field`; none in the future."""

    text: str
    field: str
    half_life_days: float
    weight: float


@dataclass(frozen=True, slots=True)
class Saturation:
    """1 + `weight` · v / (v + `pivot`), v being the number in `field`; below zero it counts as zero."""

    text: str
    field: str
    pivot: float
    weight: float


@dataclass(frozen=True, slots=True)
class Conditional:
    """`factor` for the chunks that satisfy `condition`, a filter."""

    text: str
    factor: float
    condition: str


Boost = Recency | Saturation | Conditional


def parse_boost(text: str) -> Boost:
    """Read one boost. Raises `ValueError` that says what is wrong with it."""
    written = text.strip()
    if (found := _CALL.fullmatch(text)) and found[1] in ("recency", "saturation"):
        return _call(written, found[1], [argument.strip() for argument in found[2].split(",")])
    if found := _CONDITION.fullmatch(text):
        factor = _number(found[1])
        if factor is None or not LOWEST <= factor <= HIGHEST:
            raise ValueError(f"{written!r}: give a factor from {LOWEST:g} to {HIGHEST:g} before `if`")
        return Conditional(written, factor, found[2].strip())
    raise ValueError(f"{written!r} is no boost; write {SHAPES}")


def parse_boosts(texts: Sequence[str]) -> tuple[Boost, ...]:
    """Read them all. Raises `ValueError`, also for more than `MOST`."""
    if len(texts) > MOST:
        raise ValueError(f"{len(texts)} boosts; at most {MOST} are allowed")
    return tuple(map(parse_boost, texts))


def _call(written: str, name: str, arguments: Sequence[str]) -> Boost:
    if len(arguments) not in (2, 3) or not all(arguments):
        raise ValueError(f"{written!r}: {name} takes a field, {_second(name)} and, if wanted, a weight")
    weight = WEIGHT if len(arguments) == 2 else _number(arguments[2])
    if weight is None or not 0 < weight <= HIGHEST - 1:
        raise ValueError(f"{written!r}: give a weight above 0 and up to {HIGHEST - 1:g}")
    field = arguments[0].strip('"')
    if name == "recency":
        span = _SPAN.fullmatch(arguments[1])
        days = float(span[1]) * _UNITS[span[2]] if span else 0.0
        if not 0 < days < math.inf:
            raise ValueError(f"{written!r}: give a half-life such as 12h, 30d, 8w or 2y")
        return Recency(written, field, days, weight)
    pivot = _number(arguments[1])
    if pivot is None or pivot <= 0:
        raise ValueError(f"{written!r}: give the number at which half the weight is reached, above 0")
    return Saturation(written, field, pivot, weight)


def _second(name: str) -> str:
    return "a half-life" if name == "recency" else "a number"


def _number(text: str) -> float | None:
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if value < math.inf else None
