"""Calibration: how far each leg can be trusted on a collection, from a prior and from pseudo-queries; no labels.

A candidate's score is Σ slope · score / unit over the legs. The unit of a dense score is its standard deviation
over the collection; a lexical leg's is the root of the sum of squares of what each token could contribute at
most, so that a query of many words does not speak louder than one of few. The lexical leg is the measure of the
others: its slope is 1.

A pseudo-query is a window of words cut out of a passage; its target is that passage without the window. Two
things are learned from them. Whether a leg knows anything: the passage as it stands must be found by its own
words. And what its slope is: the probability of the target is the softmax of the scores over all candidates (a
conditional logit), half of the windows may say nothing about the rest of their passage. Questions that people
ask are not windows, so slopes that differ from what the windows say by a factor of e^±`MISMATCH` are as
plausible; then the prior of the model is multiplied in. Why, and what was tried: docs/adr/0003-fusion.md,
docs/experiments/fusion.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import names
from pipeline.query.fusion.evidence import SLOPES, Evidence, Trial, weigh
from pipeline.query.fusion.priors import Fingerprints, Prior, prior_of, scripts_told_apart

Float64 = npt.NDArray[np.float64]

VERSION = 2
LEAST_TRIALS = 20
"""With fewer pseudo-queries a script has no weights of its own."""
MISMATCH = 0.5
"""Standard deviation of the logarithm of a slope that suits questions, about one that suits windows."""
ELSEWHERE = 1.2
"""The same for queries in a script that the collection, or too little of it, is written in."""


@dataclass(frozen=True, slots=True)
class LegWeights:
    """What was learned from `queries` pseudo-queries: those of one script, or for other scripts, of all.

    `weights`: of scores divided by their units; not negative, sum 1. `units`: of the legs whose unit is a deviation
    over the collection, its mean, > 0; a leg that is not there has one for each query. `middles`: of the same legs,
    the mean score over the collection, from which scores are counted. `mrr`: the leg's own mean
    reciprocal rank of the target among the candidates.
    """

    queries: int
    weights: Mapping[str, float]
    units: Mapping[str, float] = field(default_factory=dict)
    middles: Mapping[str, float] = field(default_factory=dict)
    mrr: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights by the script of the query.

    `chunks`: how many the index held, which tells when it is time to calibrate again. `scripts`: those that the
    collection is written in. `others`: for queries in other scripts, "" for those that are not named.
    """

    chunks: int
    scripts: Mapping[str, LegWeights]
    others: Mapping[str, LegWeights] = field(default_factory=dict)

    def of(self, script: str) -> LegWeights | None:
        """Return the weights for queries in a script."""
        return self.scripts.get(script) or self.others.get(script) or self.others.get("")

    def to_json(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        return {
            "version": VERSION,
            "chunks": self.chunks,
            "scripts": {script: _plain(found) for script, found in self.scripts.items()},
            "others": {script: _plain(found) for script, found in self.others.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Calibration | None:
        """Read what `to_json` gave; `None` if there is none, or one of another version."""
        if not data or data.get("version") != VERSION:
            return None
        scripts, others = (
            {script: LegWeights(**found) for script, found in data[part].items()} for part in ("scripts", "others")
        )
        return cls(int(data["chunks"]), scripts, others)


def _plain(found: LegWeights) -> dict[str, Any]:
    parts = ("weights", "units", "middles", "mrr")
    return {"queries": found.queries, **{part: dict(getattr(found, part)) for part in parts}}


def calibrate(
    legs: Sequence[str], trials: Iterable[Trial], chunks: int, fingerprints: Fingerprints | None = None
) -> Calibration:
    """Learn the weights of `legs` (the rows of every trial) from pseudo-queries over `chunks` chunks.

    `fingerprints`: which models the legs are of; without them every prior is the wide one. Without a single trial
    the weights are the priors' own.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.script, []).append(trial)
    groups = {script: group for script, group in sorted(groups.items()) if len(group) >= LEAST_TRIALS}
    measure = legs.index(names.LEXICAL) if names.LEXICAL in legs else 0
    evidence = {script: weigh(group, measure) for script, group in groups.items()}
    known = fingerprints or {}
    scripts = {script: _weights(legs, measure, [one], MISMATCH, script, known) for script, one in evidence.items()}
    elsewhere = list(evidence.values())
    others = {
        script: _weights(legs, measure, elsewhere, ELSEWHERE, script, known) for script in scripts_told_apart(known)
    }
    return Calibration(chunks, scripts, others)


def _weights(
    legs: Sequence[str],
    measure: int,
    evidence: Sequence[Evidence],
    mismatch: float,
    script: str,
    fingerprints: Fingerprints,
) -> LegWeights:
    slopes = np.ones(len(legs))
    for row, leg in enumerate(legs):
        if row != measure:
            slopes[row] = slope(prior_of(leg, script, fingerprints), [one.of(row) for one in evidence], mismatch)
    units, middles, mrr = {}, {}, {}
    if evidence:
        deviations, means = (
            np.mean([getattr(one, part) for one in evidence], axis=0) for part in ("deviations", "means")
        )
        units = {leg: float(deviations[row]) for row, leg in enumerate(legs) if deviations[row] > 0}
        middles = {leg: float(means[legs.index(leg)]) for leg in units}
        mrr = dict(zip(legs, np.mean([one.mrr for one in evidence], axis=0).tolist(), strict=True))
    shares = dict(zip(legs, (slopes / slopes.sum()).tolist(), strict=True))
    return LegWeights(sum(one.queries for one in evidence), shares, units, middles, mrr)


def slope(prior: Prior, evidence: Sequence[tuple[Float64, float, float]], mismatch: float) -> float:
    """The slope of a leg against the one that is the measure; 0 where it most likely knows nothing.

    `evidence`: for each script, as `Evidence.of` gives it. The geometric mean over the posterior of the slope.
    """
    logs = np.log(SLOPES)
    posterior = _normal(logs, np.log(prior.slope), prior.spread)
    knows = np.log1p(-prior.noise) - np.log(prior.noise)
    for likelihood, nothing, own in evidence:
        posterior = posterior + _blurred(likelihood, mismatch) / len(evidence)
        knows += (own - nothing) / len(evidence)
    largest = posterior.max()
    powers = np.exp(posterior - largest)
    knows += largest + np.log(powers.sum())
    if knows <= 0:
        return 0.0
    return float(np.exp(powers @ logs / powers.sum()))


def _normal(values: Float64, mean: float, deviation: float) -> Float64:
    logs = -0.5 * ((values - mean) / deviation) ** 2
    result: Float64 = logs - np.log(np.exp(logs).sum())
    return result


def _blurred(likelihood: Float64, deviation: float) -> Float64:
    """A log-likelihood on the grid of slopes, each slope's as its neighbours' within the deviation allow it."""
    logs = np.log(SLOPES)
    kernel = np.array([_normal(logs, centre, deviation) for centre in logs]) + likelihood
    largest = kernel.max(axis=1)
    result: Float64 = largest + np.log(np.exp(kernel - largest[:, None]).sum(axis=1))
    return result
