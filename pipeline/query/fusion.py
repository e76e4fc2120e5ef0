"""Fusion: one score from the scores of several legs. Pure functions of arrays.

Candidates are the union of the legs' best; every component score of every candidate is known exactly, so nothing is
guessed. What a leg's scores are measured against (`top`, `floor`) and the ranks that count are fixed by the leg's
best `depth` chunks, never by how many hits were asked for: the first ten of k=10 and of k=100 are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.errors import QueryError

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LegColumn:
    """One leg's view of the m candidates.

    `scores`: float64 (m,), exact. `ranks`: int64 (m,), 1-based, 0 beyond the leg's best `depth`.
    `top`: the leg's best score. `floor`: the score of its `depth`-th chunk; zero when a lexical leg matches fewer.
    """

    name: str
    scores: Float64
    ranks: npt.NDArray[np.int64]
    top: float
    floor: float


@dataclass(frozen=True, slots=True)
class Fused:
    """`scores`: float64 (m,). `normalized`, `contributions`: float64 (legs, m); contributions add up to scores."""

    scores: Float64
    normalized: Float64
    contributions: Float64
    weights: tuple[float, ...]


def reciprocal_rank(leg: LegColumn, constant: float) -> Float64:
    """1 / (constant + rank), and 0 for chunks beyond the leg's depth (Cormack et al., 2009)."""
    ranks = leg.ranks.astype(np.float64)
    result: Float64 = np.where(ranks > 0, 1.0 / (constant + ranks), 0.0)
    return result


def min_max(leg: LegColumn) -> Float64:
    """(score - floor) / (top - floor), not below 0. If all are equal: 1 for those at the top, 0 for the others."""
    span = leg.top - leg.floor
    if span <= 0:
        return np.where((leg.scores >= leg.top) & (leg.ranks > 0), 1.0, 0.0)
    return np.clip((leg.scores - leg.floor) / span, 0.0, 1.0)


def fuse(method: str, legs: Sequence[LegColumn], weights: Mapping[str, float], rrf_k: float = 60.0) -> Fused:
    """Fuse the legs of one query: `rrf` or `minmax`; a leg without a weight weighs 1.

    For `minmax` weights are divided by their sum, so that a score lies in 0…1. Raises `QueryError` for an unknown
    method, a weight of an unknown leg, a negative weight, or weights that are all zero.
    """
    names = [leg.name for leg in legs]
    chosen = np.array([weights.get(name, 1.0) for name in names], dtype=np.float64)
    if (chosen < 0).any() or not np.isfinite(chosen).all():
        raise QueryError(f"fusion weights must be zero or more: {dict(zip(names, chosen.tolist(), strict=True))}")
    if chosen.sum() == 0:
        raise QueryError(f"fusion weights of {', '.join(names)} are all zero: nothing would be ranked")
    if method == "rrf":
        normalized = np.array([reciprocal_rank(leg, rrf_k) for leg in legs])
    elif method == "minmax":
        normalized = np.array([min_max(leg) for leg in legs])
        chosen = chosen / chosen.sum()
    else:
        raise QueryError(f"unknown fusion {method!r}; known: minmax, rrf")
    contributions = normalized * chosen[:, None]
    return Fused(contributions.sum(axis=0), normalized, contributions, tuple(chosen.tolist()))
