"""The paired test by hand, and what must hold for any pair of runs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import EvaluationError
from pipeline.evaluate.significance import PERMUTATIONS, compare, randomisation_test

values = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30)


def exact_p(differences: list[float]) -> float:
    """Every assignment of signs, one by one."""
    observed = abs(sum(differences))
    signs = itertools.product([-1, 1], repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(row, differences, strict=True))) for row in signs]
    return sum(total >= observed - 1e-9 for total in sums) / len(sums)


@pytest.mark.parametrize(
    "differences", [[1.0] * 3, [0.5, -0.1, 0.2, 0.3], [0.1, 0.1, -0.1, 0.4, 0.2, 0.3, 0.05, -0.2], [1.0] * 9]
)
def test_close_to_all_assignments(differences: list[float]) -> None:
    assert randomisation_test(np.array(differences)) == pytest.approx(exact_p(differences), abs=0.015)


def test_never_zero_and_one_where_nothing_differs() -> None:
    assert randomisation_test(np.ones(500)) == pytest.approx(1 / (PERMUTATIONS + 1))
    assert randomisation_test(np.zeros(5)) == 1.0
    assert randomisation_test(np.array([0.5, -0.5])) == 1.0


def test_counts_and_difference() -> None:
    one = compare("a", {"1": 1.0, "2": 0.5, "3": 0.0}, "b", {"1": 0.5, "2": 0.5, "3": 0.25}, "P@1")
    assert (one.better, one.equal, one.worse) == (1, 1, 1)
    assert one.difference == pytest.approx(0.25 / 3)
    with pytest.raises(EvaluationError, match="a and b do not answer the same queries"):
        compare("a", {"1": 1.0}, "b", {"2": 1.0}, "P@1")


@given(values, st.randoms(use_true_random=False))
def test_symmetric_and_blind_to_ties(numbers: list[float], random: object) -> None:
    mine = {str(i): value for i, value in enumerate(numbers)}
    theirs = dict(zip(mine, reversed(numbers), strict=True))
    there, back = compare("a", mine, "b", theirs, "m"), compare("b", theirs, "a", mine, "m")
    assert there.p == back.p
    assert there.difference == pytest.approx(-back.difference)
    assert (there.better, there.worse) == (back.worse, back.better)
    assert 0 < there.p <= 1
    differences = np.array([mine[key] - theirs[key] for key in mine])
    assert randomisation_test(np.concatenate([differences, np.zeros(7)])) == randomisation_test(differences)
