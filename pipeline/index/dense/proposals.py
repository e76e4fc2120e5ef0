"""Rows that FAISS proposes, with its own scores: near enough to the exact ones to leave most rows unscored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.records import Float32

Ordinals = npt.NDArray[np.int64]

_UNIT_ROUNDOFF = 2.0**-24
_HALF_ROUNDOFF = 2.0**-11


def summing_error(dimension: int) -> float:
    """How far the inner product of two unit vectors can be off if summed in float32: a rounding for each step."""
    return (dimension + 4) * _UNIT_ROUNDOFF


def residual_error(dimension: int) -> float:
    """How far it can be off if what a row adds to its list's centre was rounded to fp16.

    That is two long at most; it and the row itself are off by half a unit in their last places.
    """
    return 3.1 * _HALF_ROUNDOFF + 2 * summing_error(dimension)


@dataclass(frozen=True, slots=True)
class Proposed:
    """What may be among the best rows for a query. `scores`: float32, at most `error` from the exact ones; `None`:
    nothing is known of them."""

    ordinals: Ordinals
    scores: Float32 | None = None
    error: float = 0.0

    def above(self, cut: float) -> Ordinals:
        """Those that may reach `cut`, an exact score."""
        if self.scores is None:
            return self.ordinals
        kept: Ordinals = self.ordinals[self.scores >= np.float32(cut - self.error)]
        return kept


NOTHING = Proposed(np.zeros(0, np.int64))


def joined(parts: Sequence[Proposed]) -> Proposed:
    """The proposals of several parts of one segment."""
    if len(parts) == 1:
        return parts[0]
    ordinals = np.concatenate([part.ordinals for part in parts])
    scores = [part.scores for part in parts if part.scores is not None]
    if len(scores) < len(parts):
        return Proposed(ordinals)
    return Proposed(ordinals, np.concatenate(scores), max(part.error for part in parts))


def least(proposals: Sequence[Proposed], depth: int) -> float:
    """An exact score that the best `depth` of all these rows reach, ties included; -inf where none is known."""
    sure: list[Any] = [part.scores - np.float32(part.error) for part in proposals if part.scores is not None]
    scores = np.concatenate(sure) if sure else np.zeros(0, np.float32)
    if len(scores) < depth:
        return -np.inf
    return float(np.partition(scores, len(scores) - depth)[len(scores) - depth])
