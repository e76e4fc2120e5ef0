"""Dates in metadata, as seconds since 1970 in UTC."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

_YEAR = re.compile(r"(\d{4})(?:-(\d{2}))?", re.ASCII)
_LAST_YEAR = 9999
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which number on it counts which parts of a second. Each unit begins in 1973; the one before ends in 5138."""


def as_seconds(value: object) -> float:
    """When a value says; NaN for what is no date.

    A text is a year, a month or ISO 8601, in UTC unless it says otherwise, and begins its day, month or year. A
    whole number from 1000 to 9999 is a year, any other number is seconds since 1970, or milli-, micro- or
    nanoseconds where it is too large for the unit before.
    """
    try:
        if isinstance(value, str):
            written = value.strip()
            if found := _YEAR.fullmatch(written):
                return datetime(int(found[1]), int(found[2] or 1), 1, tzinfo=UTC).timestamp()
            moment = datetime.fromisoformat(written)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, bool) or not isinstance(value, int | float):
            return math.nan
        if isinstance(value, int) and 1000 <= value <= _LAST_YEAR:
            return datetime(value, 1, 1, tzinfo=UTC).timestamp()
        number = float(value)
        return number / next((parts for least, parts in _UNITS if abs(number) >= least), 1.0)
    except (ValueError, OverflowError):
        return math.nan
