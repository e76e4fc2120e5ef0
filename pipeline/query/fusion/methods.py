"""Fusion: one score from the scores of several legs. Pure functions of arrays.

Candidates are the union of the legs' best; every component score of every candidate is known exactly, so nothing is
guessed. What a leg's scores are measured against (`top`, `floor`, mean, deviation) and the ranks that count are
fixed by the leg's best `depth` chunks, never by how many hits were asked for: so neither does the order.

A method turns each leg's scores into comparable ones (`normalized`), and a weight for each leg makes contributions
of them, which add up to the score. Why `auto` is what it is: docs/adr/0003-fusion.md.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.errors import QueryError
from pipeline.names import DENSE, LEXICAL, MULTIVECTOR
from pipeline.query.fusion.calibration import Calibration

Float64 = npt.NDArray[np.float64]

COSINE_LEGS = frozenset({DENSE, MULTIVECTOR})
"""Legs whose scores are cosines, or means of cosines: in -1…1 whatever the collection."""

SIGMAS = 3.0
"""`dbsf` maps the mean minus and plus this many standard deviations to 0 and 1 (as Qdrant does)."""

PRESETS: Mapping[str, Mapping[frozenset[str], Mapping[str, float]]] = {
    "m3-miracl": {
        frozenset({DENSE, LEXICAL, MULTIVECTOR}): {DENSE: 1.0, LEXICAL: 0.3, MULTIVECTOR: 1.0},
        frozenset({DENSE, LEXICAL}): {DENSE: 1.0, LEXICAL: 0.3},
    },
    "m3-mldr": {
        frozenset({DENSE, LEXICAL, MULTIVECTOR}): {DENSE: 0.15, LEXICAL: 0.5, MULTIVECTOR: 0.35},
        frozenset({DENSE, LEXICAL}): {DENSE: 0.2, LEXICAL: 0.8},
    },
}
"""Weights on raw BGE-M3 scores, by the legs there are (arXiv 2402.03216, section 4 and appendix)."""


@dataclass(frozen=True, slots=True)
class LegColumn:
    """One leg's view of the m candidates.

    `scores`: float64 (m,), exact. `ranks`: int64 (m,), 1-based, 0 beyond the leg's best `depth`.
    `top`: the leg's best score. `floor`: the score of its `depth`-th chunk; zero when a lexical leg matches fewer.
    `bound`: the highest score that any text could have for this query, for `theoretical`: the sum of every query
    token's largest possible contribution, (k1 + 1) · weight for BM25. Not used for cosines; 0: no bound is known.
    `unit`: what `auto` divides the scores by, > 0, once `middle` is taken from them.
    """

    name: str
    scores: Float64
    ranks: npt.NDArray[np.int64]
    top: float
    floor: float
    bound: float = 0.0
    unit: float = 1.0
    middle: float = 0.0


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


def raw(leg: LegColumn) -> Float64:
    """The scores as they are."""
    return leg.scores.astype(np.float64)


def min_max(leg: LegColumn) -> Float64:
    """(score - floor) / (top - floor), not below 0. If all are equal: 1 for those at the top, 0 for the others."""
    span = leg.top - leg.floor
    if span <= 0:
        return np.where((leg.scores >= leg.top) & (leg.ranks > 0), 1.0, 0.0)
    return np.clip((leg.scores - leg.floor) / span, 0.0, 1.0)


def z_score(leg: LegColumn) -> Float64:
    """(score - mean) / standard deviation of the leg's best `depth` scores.

    When a lexical leg matches fewer, one score of zero stands for all that it does not match, so that a lone hit is
    at 1 and the others at -1. If all are equal: 0 for those, -1 for what is below them. An empty leg gives zeros.
    """
    best = leg.scores[leg.ranks > 0]
    if not len(best):
        return np.zeros(len(leg.scores))
    if leg.floor < best.min():
        best = np.append(best, leg.floor)
    deviation = float(best.std())
    if deviation <= 1e-12 * float(np.abs(best).max()):
        return np.where(leg.ranks > 0, 0.0, -1.0)
    result: Float64 = (leg.scores - best.mean()) / deviation
    return result


def distribution_based(leg: LegColumn) -> Float64:
    """The z-score with mean ± `SIGMAS` deviations at 0 and 1; outliers go beyond, so that they keep their order."""
    if not (leg.ranks > 0).any():
        return np.zeros(len(leg.scores))
    return 0.5 + z_score(leg) / (2 * SIGMAS)


def theoretical(leg: LegColumn) -> Float64:
    """The score on the scale of what it could be: (cosine + 1) / 2, or score / bound. Without a bound: zeros."""
    if leg.name in COSINE_LEGS:
        return (leg.scores + 1.0) / 2.0
    return leg.scores / leg.bound if leg.bound > 0 else np.zeros(len(leg.scores))


_NORMALIZATIONS: dict[str, Callable[[LegColumn], Float64]] = {
    "weighted": raw,
    "minmax": min_max,
    "zscore": z_score,
    "dbsf": distribution_based,
    "theoretical": theoretical,
}
METHODS = ("auto", "dbsf", "minmax", "rrf", "theoretical", "weighted", "zscore")
"""What settings may name."""


def register_method(name: str, normalize: Callable[[LegColumn], Float64]) -> None:
    """Add a method to those that a search may name. `normalize`: makes a leg's scores comparable, float64 (m,).

    Raises `ValueError` if the name is taken.
    """
    if name in known_methods() or name in PRESETS:
        raise ValueError(f"{name}: there is such a fusion method or preset already")
    _NORMALIZATIONS[name] = normalize


def unregister_method(name: str) -> None:
    """Take an added method away again."""
    del _NORMALIZATIONS[name]


def known_methods() -> tuple[str, ...]:
    """Return the names of all methods, in order."""
    return tuple(sorted({*METHODS, *_NORMALIZATIONS}))


def preset_weights(preset: str, legs: Sequence[str]) -> dict[str, float]:
    """The published weights of a preset for these legs, to be used with `weighted`. Raises `QueryError`."""
    if preset not in PRESETS:
        raise QueryError(unknown("fusion preset", preset, sorted(PRESETS)), fields=("fusion",))
    found = PRESETS[preset].get(frozenset(legs))
    if found is None:
        known = "; ".join(" + ".join(sorted(names)) for names in PRESETS[preset])
        told = f"fusion preset {preset!r} has no weights for {' + '.join(legs)}; only for: {known}"
        raise QueryError(told, fields=("fusion",))
    return {leg: found[leg] for leg in legs}


def fuse(
    method: str,
    legs: Sequence[LegColumn],
    weights: Mapping[str, float],
    rrf_k: float = 60.0,
    *,
    calibration: Calibration | None = None,
    script: str = "",
) -> Fused:
    """Fuse the legs of one query by one of `known_methods`; a leg without a weight weighs 1.

    Weights are divided by their sum, except for `rrf`. `auto` takes the calibrated weights for queries in `script`
    (`scripts.dominant_script` of the query) and multiplies them by the ones given; where these legs were not
    calibrated it is `theoretical`, which needs to know nothing about the collection.
    Raises `QueryError` for an unknown method, a negative weight, weights that are all zero or too large.
    """
    names = [leg.name for leg in legs]
    chosen = np.array([weights.get(name, 1.0) for name in names], dtype=np.float64)
    if (chosen < 0).any() or not np.isfinite(chosen).all():
        told = f"fusion weights must be zero or more: {dict(zip(names, chosen.tolist(), strict=True))}"
        raise QueryError(told, fields=("fusion",))
    if math.isinf(sum(chosen.tolist())):
        told = f"fusion weights of {', '.join(names)} are too large to be added up"
        raise QueryError(told, fields=("fusion",))
    if chosen.sum() == 0:
        told = f"fusion weights of {', '.join(names)} are all zero: nothing would be ranked"
        raise QueryError(told, fields=("fusion",))
    if method == "rrf":
        return _fused(np.array([reciprocal_rank(leg, rrf_k) for leg in legs]), chosen)
    if method == "auto":
        return _auto(legs, chosen, calibration, script)
    if method not in _NORMALIZATIONS:
        raise QueryError(unknown("fusion", method, known_methods()), fields=("fusion",))
    return _fused(np.array([_NORMALIZATIONS[method](leg) for leg in legs]), chosen / chosen.sum())


def _auto(legs: Sequence[LegColumn], lean: Float64, calibration: Calibration | None, script: str) -> Fused:
    names = [leg.name for leg in legs]
    found = calibration.of(script) if calibration is not None else None
    if found is None or not set(names) <= found.weights.keys():
        return _fused(np.array([theoretical(leg) for leg in legs]), lean / lean.sum())
    chosen = lean * np.array([found.weights[name] for name in names])
    if chosen.sum() == 0:  # only legs that the calibration found worthless are wanted: then as if it knew nothing
        chosen = lean
    normalized = np.array([(leg.scores - leg.middle) / leg.unit for leg in legs])
    return _fused(normalized, chosen / chosen.sum())


def _fused(normalized: Float64, weights: Float64) -> Fused:
    contributions = normalized * weights[:, None]
    return Fused(contributions.sum(axis=0), normalized, contributions, tuple(weights.tolist()))


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """The words for a name that is not known, with the nearest one that is."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown {what} {name!r}; {hint}known: {', '.join(known)}"
