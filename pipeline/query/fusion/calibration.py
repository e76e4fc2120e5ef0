"""Calibration: how far each leg can be trusted on a collection, learned from pseudo-queries instead of labels.

A pseudo-query is a window of words cut out of a passage; its target is that passage without the window. The
weights are those under which the targets are most likely: a candidate's score is Σ slope · score over the legs, its
probability of being the target the softmax over all candidates (a conditional logit). Slopes are not negative.
Many windows say nothing about the rest of their passage; a target may therefore also be any candidate with equal
probability, so that such trials don't count. Few trials are pulled
towards even slopes. What was tried and what it gave: docs/experiments/fusion.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

VERSION = 1
LEAST_TRIALS = 20
"""With fewer pseudo-queries in a script it gets no weights."""
UNRELATED = 0.5
"""Prior share of windows that say nothing about the rest of their passage."""
RIDGE = 1e-3
"""Weight of the squared slopes in what is minimised: keeps them finite where every target is found first."""
EVENNESS = 0.3
"""Weight, in pseudo-queries, of the squared difference between the slopes in what is minimised. Twenty windows may
by chance point to one leg alone; a difference between legs must be worth more than this to count."""
BEATEN = 2 / 3
"""Where the targets are among the last third of the candidates in every leg, no leg has shown anything."""
_LEAST_SLOPE = 1e-3
_ROUNDS = 100
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Trial:
    """A pseudo-query's candidates. `scores`: float64 (legs, m), complete. `target`: the passage's column."""

    script: str
    scores: Float64
    target: int


@dataclass(frozen=True, slots=True)
class LegWeights:
    """What was learned from `queries` pseudo-queries of one script.

    `weights`: of scores divided by `units`; not negative, sum 1. `units`: a leg's mean standard deviation over the
    candidates, > 0. `mrr`: the leg's own mean reciprocal rank of the target among the candidates.
    """

    queries: int
    weights: Mapping[str, float]
    units: Mapping[str, float]
    mrr: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights by the script of the query. A script without windows to learn from, or with too few, is not there.

    `chunks`: how many the index held, which tells when it is time to calibrate again.
    """

    chunks: int
    scripts: Mapping[str, LegWeights]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        scripts = {
            script: {
                "queries": found.queries,
                "weights": dict(found.weights),
                "units": dict(found.units),
                "mrr": dict(found.mrr),
            }
            for script, found in self.scripts.items()
        }
        return {"version": VERSION, "chunks": self.chunks, "scripts": scripts}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Calibration | None:
        """Read what `to_json` gave; `None` if there is none, or one of another version, which fusion ignores."""
        if not data or data.get("version") != VERSION:
            return None
        return cls(int(data["chunks"]), {script: LegWeights(**found) for script, found in data["scripts"].items()})


def calibrate(legs: Sequence[str], trials: Iterable[Trial], chunks: int) -> Calibration:
    """Learn the weights of `legs` (the rows of every trial's scores) from pseudo-queries over `chunks` chunks."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.script, []).append(trial)
    learned = {
        script: _learn(legs, group) for script, group in sorted(groups.items()) if len(group) >= LEAST_TRIALS
    }
    return Calibration(chunks, {script: found for script, found in learned.items() if found is not None})


def _learn(legs: Sequence[str], trials: Sequence[Trial]) -> LegWeights | None:
    units = np.mean([trial.scores.std(axis=1) for trial in trials], axis=0)
    units = np.where(units > 0, units, 1.0)
    slopes = fit_slopes([Trial(t.script, t.scores / units[:, None], t.target) for t in trials])
    if not slopes.any():
        return None
    ranks = np.array([(t.scores > t.scores[:, t.target, None]).sum(axis=1) + 1 for t in trials])
    mrr = (1.0 / ranks).mean(axis=0)
    columns = [dict(zip(legs, values.tolist(), strict=True)) for values in (slopes / slopes.sum(), units, mrr)]
    return LegWeights(len(trials), *columns)


def fit_slopes(trials: Sequence[Trial]) -> Float64:
    """Slopes ≥ 0, one for each leg, under which the targets are most likely; all 0 if nothing can be learned.

    Expectation maximisation: how likely each trial is one that says something, then the slopes given that. Where
    candidates beat their targets in every leg all slopes are 0 (short texts with near duplicates). Then the leg in
    which fewest candidates beat them gets everything, unless even there more than `BEATEN` of them do: texts from
    one template all hold the window but for the one that it was cut out of, which says nothing of any leg.
    """
    stacked = _Stack.of(trials)
    legs = stacked.scores.shape[1]
    slopes = np.ones(legs)
    for _ in range(_ROUNDS):
        related = (1 - UNRELATED) * stacked.chances(slopes)[stacked.rows, stacked.targets]
        shares = related / (related + UNRELATED / stacked.sizes)
        before, slopes = slopes, _climb(slopes, stacked, shares)
        if np.abs(slopes - before).max() < _TOLERANCE:
            break
    if slopes.sum() > _LEAST_SLOPE:
        return slopes
    beaten = np.mean([(t.scores > t.scores[:, t.target, None]).mean(axis=1) for t in trials], axis=0)
    best = beaten.argmin()
    return np.where((np.arange(legs) == best) & (beaten[best] <= BEATEN), 1.0, 0.0)


def _climb(slopes: Float64, trials: _Stack, shares: Float64) -> Float64:
    """Projected Newton steps with a line search on the weighted problem, which is convex."""
    value, gradient, curvature = trials.likelihood(slopes, shares)
    for _ in range(_ROUNDS):
        free = (slopes > 0) | (gradient < 0)
        step = np.zeros_like(slopes)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        size = 1.0
        proposal = np.maximum(slopes - step, 0.0)
        new = trials.likelihood(proposal, shares)
        while new[0] > value and size > _TOLERANCE:
            size /= 2
            proposal = np.maximum(slopes - size * step, 0.0)
            new = trials.likelihood(proposal, shares)
        moved = float(np.abs(proposal - slopes).max())
        if new[0] > value or moved < _TOLERANCE:
            break
        slopes, (value, gradient, curvature) = proposal, new
    return slopes


@dataclass(frozen=True, slots=True)
class _Stack:
    """n trials as arrays: `scores` (n, legs, m) and `padding` (n, m), -inf where a trial has fewer candidates."""

    scores: Float64
    padding: Float64
    targets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> _Stack:
        sizes = np.array([trial.scores.shape[1] for trial in trials])
        scores = np.zeros((len(trials), len(trials[0].scores), int(sizes.max())))
        padding = np.where(np.arange(sizes.max()) < sizes[:, None], 0.0, -np.inf)
        for row, trial in enumerate(trials):
            scores[row, :, : sizes[row]] = trial.scores
        targets = np.array([trial.target for trial in trials])
        return cls(scores, padding, targets, sizes, np.arange(len(trials)))

    def chances(self, slopes: Float64) -> Float64:
        """Each candidate's probability of being the target, (n, m)."""
        logits = np.einsum("l,nlm->nm", slopes, self.scores) + self.padding
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: Float64 = powers / powers.sum(axis=1, keepdims=True)
        return result

    def likelihood(self, slopes: Float64, shares: Float64) -> tuple[float, Float64, Float64]:
        """The value to minimise, its gradient and its matrix of second derivatives."""
        chances = self.chances(slopes)
        shares = shares / len(shares)
        means = np.einsum("nlm,nm->nl", self.scores, chances)
        hit = np.maximum(chances[self.rows, self.targets], np.finfo(np.float64).tiny)
        uneven = 2 * EVENNESS / len(shares) * (slopes - slopes.mean())
        value = RIDGE * float(slopes @ slopes) + float(uneven @ slopes) - float(shares @ np.log(hit))
        gradient = 2 * (RIDGE * slopes + uneven) + shares @ (means - self.scores[self.rows, :, self.targets])
        spread = np.einsum("nlm,nkm->lk", self.scores * (chances * shares[:, None])[:, None, :], self.scores)
        apart = np.eye(len(slopes)) - 1 / len(slopes)
        penalty = 2 * RIDGE * np.eye(len(slopes)) + 4 * EVENNESS / len(shares) * apart
        curvature = penalty + spread - (means * shares[:, None]).T @ means
        return value, gradient, curvature
