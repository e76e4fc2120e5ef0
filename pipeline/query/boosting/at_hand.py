"""The factors of chunks whose metadata is at hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.index.segment import Mask
from pipeline.query.boosting.factors import Factors, Float64, product_of


class FactorsAtHand:
    """The factors of all chunks by their number (`lifting.Lifts`)."""

    def __init__(self, factors: Factors, excluded: Sequence[Mask | None], sizes: Sequence[int]) -> None:
        """`excluded`: for each segment, what the search may not find; `sizes`: how many chunks it has."""
        self._parts = factors.parts
        self._allowed: Float64 = product_of(factors.parts)
        gone = [
            np.zeros(size, np.bool_) if mask is None else mask for mask, size in zip(excluded, sizes, strict=True)
        ]
        self._allowed = np.where(np.concatenate([np.zeros(0, np.bool_), *gone]), 0.0, self._allowed)

    def parts(self, ids: npt.NDArray[np.int64]) -> Float64:
        """The factors of some chunks: float64 (boosts, chunks)."""
        found: Float64 = self._parts[:, ids]
        return found

    def parts_and_rest(self, ids: npt.NDArray[np.int64]) -> tuple[Float64, float]:
        """The same, and the largest product of factors among the others that may be found; 0 if there are none."""
        others = self._allowed.copy()
        others[ids] = 0.0
        return self.parts(ids), float(others.max(initial=0.0))
