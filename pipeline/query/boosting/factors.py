"""The factors by which boosts multiply the scores of all chunks of a snapshot, out of its metadata columns.

A value is looked at once for each entry of a column's dictionary, not once a chunk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.config.boosts import Boost, Conditional, Recency, Saturation
from pipeline.errors import QueryError
from pipeline.index.columns.kinds import Kind
from pipeline.index.segment import Mask
from pipeline.query.boosting.dates import as_seconds
from pipeline.query.fusion.methods import unknown

if TYPE_CHECKING:
    from pipeline.query.filter.table import ColumnTable

Float64 = npt.NDArray[np.float64]

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class BoostedChunks:
    """The chunks that boosts are about. `columns`: their metadata; `gone`: for each segment, which are deleted;
    `kept_by`: for each segment, which satisfy a condition."""

    columns: ColumnTable
    gone: Sequence[Mask | None]
    kept_by: Callable[[str], Sequence[Mask]]


@dataclass(frozen=True, slots=True)
class Factors:
    """`parts`: float64 (boosts, chunks). `dates`: whether live chunks have values in each boost's field, and
    whether one of these says when or how much."""

    parts: Float64
    dates: tuple[tuple[bool, bool], ...]


class Lifts(Protocol):
    """What boosts make of the chunks of a snapshot, of which a search may find some."""

    def parts(self, ids: npt.NDArray[np.int64]) -> Float64:
        """The factors of some chunks: float64 (boosts, chunks)."""

    def parts_and_rest(self, ids: npt.NDArray[np.int64]) -> tuple[Float64, float]:
        """The same, and the largest product of factors among the others that may be found; 0 if there are none."""


def product_of(parts: Float64) -> Float64:
    """All factors of each chunk together: float64 (chunks,). The same bits, however many chunks there are."""
    return functools.reduce(np.multiply, parts)


def boosted(scores: Float64, factors: Float64) -> Float64:
    """Scores times their factors; those below zero are divided, so that a larger factor always lifts.

    Grows with both, so that bounds stay bounds.
    """
    result: Float64 = np.where(scores >= 0, scores * factors, scores / factors)
    return result


def factors_of(chunks: BoostedChunks, boosts: Sequence[Boost], now: float) -> Factors:
    """The factors of all chunks. `now`: in seconds since 1970. Raises `QueryError` for a field or a condition that
    does not fit the index."""
    found = [_factors(chunks, boost, now) for boost in boosts]
    return Factors(np.array([factors for factors, _ in found]), tuple(dates for _, dates in found))


def check_dates(table: ColumnTable, boosts: Sequence[Boost], dates: Sequence[tuple[bool, bool]]) -> None:
    """Refuse recency by a field of which no value is a date. `dates`: those of the whole index.

    Raises `QueryError`.
    """
    for boost, (has_values, has_dates) in zip(boosts, dates, strict=True):
        if has_values and not has_dates and not isinstance(boost, Conditional):
            column = table.column(boost.field)
            raise QueryError(
                f"boost {boost.text!r}: no value of `{column.name if column else boost.field}` is a date; "
                "recency reads 2024, 2024-05, ISO 8601 and seconds (or milliseconds) since 1970"
            )


def _factors(chunks: BoostedChunks, boost: Boost, now: float) -> tuple[Float64, tuple[bool, bool]]:
    if isinstance(boost, Conditional):
        try:
            masks = chunks.kept_by(boost.condition)
        except QueryError as error:
            raise QueryError(f"boost {boost.text!r}: {error}") from None
        return np.where(np.concatenate([np.zeros(0, np.bool_), *masks]), boost.factor, 1.0), (False, False)
    values, dates = _values(chunks, boost)
    with np.errstate(invalid="ignore", over="ignore"):
        if isinstance(boost, Recency):
            days = np.maximum(now - values, 0.0) / _DAY
            share = np.exp2(-days / boost.half_life_days)
        else:
            share = 1.0 - boost.pivot / (np.maximum(values, 0.0) + boost.pivot)
    factors: Float64 = np.where(np.isnan(values), 1.0, 1.0 + boost.weight * share)
    return factors, dates


def _values(chunks: BoostedChunks, boost: Recency | Saturation) -> tuple[Float64, tuple[bool, bool]]:
    """The number or the moment that each chunk has in a field, NaN for none: float64 (chunks,); and whether there
    are values, and numbers among them."""
    column = chunks.columns.column(boost.field)
    if column is None:
        raise QueryError(f"boost {boost.text!r}: {unknown('field', boost.field, chunks.columns.names)}")
    if isinstance(boost, Saturation) and column.kind not in (Kind.INT, Kind.FLOAT, Kind.NOTHING):
        raise QueryError(f"boost {boost.text!r}: `{column.name}` has {column.kind.value}; saturation needs numbers")
    parts, has_values, has_numbers = [np.zeros(0)], False, False
    for columns, name, gone in zip(chunks.columns.segments, column.spellings, chunks.gone, strict=True):
        if name is None:
            parts.append(np.full(columns.chunks, np.nan))
            continue
        entries = columns.dictionary(name, column.kind).to_pylist()
        numbers = np.array([_number(entry, isinstance(boost, Recency)) for entry in entries], np.float64)
        codes = columns.codes(name)
        parts.append(numbers[codes])
        live = codes if gone is None else codes[~gone]
        has_values = has_values or bool(live.any())
        has_numbers = has_numbers or not bool(np.isnan(numbers[live]).all())
    return np.concatenate(parts), (has_values, has_numbers)


def _number(value: object, is_date: bool) -> float:
    if is_date:
        return as_seconds(value)
    return float(value) if isinstance(value, int | float) else np.nan
