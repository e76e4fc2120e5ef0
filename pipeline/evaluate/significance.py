"""Is the difference between two rankings of the same queries more than luck? A paired randomisation test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.errors import EvaluationError

PERMUTATIONS = 10_000
TEST = f"paired randomisation test, two-sided, {PERMUTATIONS:,} sign flips"
_SEED = 20_240_229
_BLOCK = 1_000
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of `run` against `against`, query by query; `difference` is run - against, on the mean.

    `p`: how often flipping the sign of each query's difference by chance gives a mean difference at least as large.
    It is for one comparison: with several, a correction is up to the reader (Bonferroni: p · comparisons).
    """

    run: str
    against: str
    measure: str
    difference: float
    p: float
    better: int
    worse: int
    equal: int


def compare(
    run: str, values: Mapping[str, float], against: str, others: Mapping[str, float], measure: str
) -> Comparison:
    """Compare two runs by their values for the same queries. Raises `EvaluationError` if the queries differ."""
    if values.keys() != others.keys():
        raise EvaluationError(f"{run} and {against} do not answer the same queries")
    differences = np.array([values[query_id] - others[query_id] for query_id in values], np.float64)
    differences[np.abs(differences) < _ROUNDING] = 0.0
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    mean = float(differences.mean()) if len(differences) else 0.0
    p = randomisation_test(differences)
    return Comparison(run, against, measure, mean, p, better, worse, len(differences) - better - worse)


def randomisation_test(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """The two-sided p of a mean difference; the same differences give the same p. `differences`: float64 (n,).

    Counts the observed signs as one of the samples, so that p is never 0 (Phipson and Smyth, 2010).
    """
    moved = differences[differences != 0]  # a sign flip does not change a tie
    observed = abs(float(moved.sum()))
    if observed == 0:
        return 1.0
    generator = np.random.default_rng(_SEED)
    extreme = 0
    for _ in range(0, PERMUTATIONS, _BLOCK):
        signs = generator.integers(0, 2, (_BLOCK, len(moved)), np.int8) * 2 - 1
        extreme += int((np.abs(signs @ moved) >= observed * (1 - _ROUNDING)).sum())
    return (extreme + 1) / (PERMUTATIONS + 1)
