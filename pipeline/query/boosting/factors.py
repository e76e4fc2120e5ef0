"""The factors by which boosts multiply the scores of all chunks of a snapshot, out of its metadata columns.

A value is looked at once for each entry of a column's dictionary, not once a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pipeline.config.boosts import Boost, Conditional, Recency, Saturation
from pipeline.errors import QueryError
from pipeline.index.columns.kinds import Kind
from pipeline.query.boosting.dates import as_seconds
from pipeline.query.fusion.methods import unknown
from pipeline.query.snapshot import Float64, Snapshot

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Factors:
    """`parts`: float64 (boosts, chunks); `product`: float64 (chunks,), of all of them. `texts`: the boosts."""

    texts: tuple[str, ...]
    parts: Float64
    product: Float64


def boosted(scores: Float64, factors: Float64) -> Float64:
    """Scores times their factors; those below zero are divided, so that a larger factor always lifts.

    Grows with both, so that bounds stay bounds.
    """
    result: Float64 = np.where(scores >= 0, scores * factors, scores / factors)
    return result


def factors_of(snapshot: Snapshot, boosts: Sequence[Boost], now: datetime) -> Factors:
    """The factors of all chunks. Raises `QueryError` for a field or a condition that does not fit the index."""
    parts = np.array([_factors(snapshot, boost, now.timestamp()) for boost in boosts])
    return Factors(tuple(boost.text for boost in boosts), parts, parts.prod(axis=0))


def _factors(snapshot: Snapshot, boost: Boost, now: float) -> Float64:
    if isinstance(boost, Conditional):
        try:
            masks = snapshot.kept_by(boost.condition)
        except QueryError as error:
            raise QueryError(f"boost {boost.text!r}: {error}") from None
        return np.where(np.concatenate([np.zeros(0, np.bool_), *masks]), boost.factor, 1.0)
    values = _values(snapshot, boost)
    with np.errstate(invalid="ignore", over="ignore"):
        if isinstance(boost, Recency):
            days = np.maximum(now - values, 0.0) / _DAY
            share = np.exp2(-days / boost.half_life_days)
        else:
            share = 1.0 - boost.pivot / (np.maximum(values, 0.0) + boost.pivot)
    factors: Float64 = np.where(np.isnan(values), 1.0, 1.0 + boost.weight * share)
    return factors


def _values(snapshot: Snapshot, boost: Recency | Saturation) -> Float64:
    """The number or the moment that each chunk has in a field, NaN for none: float64 (chunks,)."""
    column = snapshot.columns.column(boost.field)
    if column is None:
        raise QueryError(f"boost {boost.text!r}: {unknown('field', boost.field, snapshot.columns.names)}")
    if isinstance(boost, Saturation) and column.kind not in (Kind.INT, Kind.FLOAT, Kind.NOTHING):
        raise QueryError(f"boost {boost.text!r}: `{column.name}` has {column.kind.value}; saturation needs numbers")
    parts, has_values, has_numbers = [np.zeros(0)], False, False
    for columns, name, gone in zip(
        snapshot.columns.segments, column.spellings, snapshot.excluded(None), strict=True
    ):
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
    if has_values and not has_numbers:
        raise QueryError(
            f"boost {boost.text!r}: no value of `{column.name}` is a date; recency reads 2024, 2024-05, ISO 8601 "
            "and seconds since 1970"
        )
    return np.concatenate(parts)


def _number(value: object, is_date: bool) -> float:
    if is_date:
        return as_seconds(value)
    return float(value) if isinstance(value, int | float) else np.nan
