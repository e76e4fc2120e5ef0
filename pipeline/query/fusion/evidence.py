"""What pseudo-queries say of each leg: log-likelihoods on a grid of slopes. Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

UNRELATED = 0.5
"""Prior share of windows that say nothing about the rest of their passage."""
SLOPES: Float64 = np.exp(np.arange(np.log(0.003), np.log(20.0), 0.4))
"""Worth of a leg against the measure that are tried."""
SHARPNESS: Float64 = np.exp(np.arange(np.log(0.1), np.log(40.0), 0.5))
"""Slopes of the measure itself that are tried; all are as likely. Low ones stand for windows that nothing finds."""
ALONE: Float64 = np.array([0.5, 0.75, 1.0, 1.5])
"""Slopes of a leg that knows something, where it is asked alone for a passage by the passage's own words."""
_PASSES = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """A pseudo-query's candidates: m other chunks, and its own passage.

    `others`: float64 (legs, m), complete. `target`: float64 (legs,), scores of the passage without the window;
    `own`: of the passage as it stands. All are divided by the query's unit where a leg has one; `deviations`:
    float64 (legs,), of the scores over the collection where it has not, else 0, and `means`, of the same scores.
    `is_short`: the passage is too short for its rest to say much.
    """

    script: str
    others: Float64
    target: Float64
    own: Float64
    deviations: Float64
    means: Float64
    is_short: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one script's trials say.

    `deviations`, `means`, `mrr`: float64 (legs,), averages over the trials; a leg that has a unit has 0 in the
    first two.
    `likelihoods`: logarithms for each leg but the measure, on the grid `SLOPES`; `nothing`: with the leg left out;
    both less the greatest of them. `own`: the logarithm of how much likelier a leg that knows something finds its
    own passages than chance does.
    """

    queries: int
    deviations: Float64
    means: Float64
    mrr: Float64
    likelihoods: dict[int, Float64]
    nothing: dict[int, float]
    own: dict[int, float]

    def of(self, row: int) -> tuple[Float64, float, float]:
        """Return a leg's log-likelihoods: by slope, with the leg left out, and of its own passages."""
        return self.likelihoods[row], self.nothing[row], self.own[row]


def weigh(trials: Sequence[Trial], measure: int) -> Evidence:
    """Weigh the trials of one script; `measure` is the row of the leg whose slope is 1."""
    deviations = np.mean([trial.deviations for trial in trials], axis=0)
    stack = _Stack.of(trials, np.where(deviations > 0, deviations, 1.0))
    long = np.array([not trial.is_short for trial in trials])
    rows = [row for row in range(len(deviations)) if row != measure]
    slopes = np.zeros(len(deviations))
    slopes[measure] = 1.0
    likelihoods: dict[int, Float64] = {}
    nothing: dict[int, float] = {}
    for _ in range(_PASSES if len(rows) > 1 else 1):
        for row in rows:
            grid = stack.by_slope(row, slopes, long)
            likelihoods[row], nothing[row] = grid[1:], float(grid[0])
            slopes[row] = 0.0 if grid.argmax() == 0 else SLOPES[grid[1:].argmax()]
    ranks = np.array([(t.others > t.target[:, None]).sum(axis=1) + 1 for t in trials])
    own = {row: stack.own_evidence(row) for row in rows}
    means = np.mean([trial.means for trial in trials], axis=0)
    return Evidence(len(trials), deviations, means, (1.0 / ranks).mean(axis=0), likelihoods, nothing, own)


@dataclass(frozen=True, slots=True)
class _Stack:
    """n trials as arrays: `scores` (legs, n, m + 1), the target first; `own` (legs, n); `padding` (n, m + 1), -inf
    where a trial has fewer candidates; `sizes` (n,), candidates with the target."""

    scores: Float64
    own: Float64
    padding: Float64
    sizes: Float64

    @classmethod
    def of(cls, trials: Sequence[Trial], units: Float64) -> _Stack:
        sizes = np.array([trial.others.shape[1] + 1 for trial in trials])
        scores = np.zeros((len(units), len(trials), int(sizes.max())))
        for row, trial in enumerate(trials):
            scores[:, row, 0] = trial.target / units
            scores[:, row, 1 : sizes[row]] = trial.others / units[:, None]
        padding = np.where(np.arange(sizes.max()) < sizes[:, None], 0.0, -np.inf)
        own = np.array([trial.own / units for trial in trials]).T
        return cls(scores, own, padding, sizes.astype(np.float64))

    def by_slope(self, row: int, slopes: Float64, counted: npt.NDArray[np.bool_]) -> Float64:
        """Log-likelihood of the targets with a leg left out and by each of `SLOPES`, less the greatest of them.

        The other legs keep `slopes`; how sharp the whole is, is averaged over. All zero where no trial is counted.
        """
        if not counted.any():
            return np.zeros(len(SLOPES) + 1)
        rest = np.where(np.arange(len(slopes)) == row, 0.0, slopes)
        fixed = np.einsum("l,lnm->nm", rest, self.scores[:, counted])
        moved, padding, sizes = self.scores[row, counted], self.padding[counted], self.sizes[counted]
        grid = np.array(
            [
                [
                    _log_mixture(sharpness * (fixed + value * moved) + padding, sizes).sum()
                    for sharpness in SHARPNESS
                ]
                for value in (0.0, *SLOPES)
            ]
        )
        largest = grid.max(axis=1)
        summed = largest + np.log(np.exp(grid - largest[:, None]).sum(axis=1))
        result: Float64 = summed - summed.max()
        return result

    def own_evidence(self, row: int) -> float:
        """Log of how much likelier a leg that knows something finds the passages than chance does."""
        logits = self.scores[row].copy()
        logits[:, 0] = self.own[row]
        found = np.array(
            [
                (_log_mixture(value * logits + self.padding, self.sizes) + np.log(self.sizes)).sum()
                for value in ALONE
            ]
        )
        return float(found.max() + np.log(np.exp(found - found.max()).mean()))


def _log_mixture(logits: Float64, sizes: Float64) -> Float64:
    """Log-probability (n,) of each row's first candidate: by the softmax, or by chance, as `UNRELATED` says."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Float64 = np.log((1 - UNRELATED) * powers[:, 0] / powers.sum(axis=1) + UNRELATED / sizes)
    return result
