"""Weights from priors and trials."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.query.fusion.calibration import (
    ELSEWHERE,
    LEAST_TRIALS,
    MISMATCH,
    VERSION,
    Calibration,
    LegWeights,
    calibrate,
    slope,
)
from pipeline.query.fusion.evidence import SLOPES, Trial
from pipeline.query.fusion.priors import ANY, UNKNOWN, Prior, prior_of, scripts_told_apart
from tests.query.test_evidence import drawn

LEGS = ("dense", "lexical")
E5 = {"dense": {"model": "intfloat/multilingual-e5-small"}}
MINILM = {"dense": {"model": "sentence-transformers/all-MiniLM-L6-v2"}}
FLAT = np.zeros(len(SLOPES))


def worth(found: LegWeights) -> float:
    return found.weights["dense"] / found.weights["lexical"]


def test_without_evidence_the_prior_speaks_alone() -> None:
    assert slope(Prior(0.4, 0.3, 0.01), [], MISMATCH) == pytest.approx(0.4, rel=0.02)
    assert slope(Prior(0.4, 0.3, 0.6), [], MISMATCH) == 0.0


@given(st.floats(0.05, 5.0), st.floats(0.2, 1.0))
def test_flat_evidence_leaves_the_prior_as_it_is(centre: float, spread: float) -> None:
    prior = Prior(centre, spread, 0.1)
    assert slope(prior, [(FLAT, 0.0, 0.0)], MISMATCH) == pytest.approx(slope(prior, [], MISMATCH))


def test_evidence_and_prior_meet_where_their_precisions_say() -> None:
    """Two normal distributions of ln slope: the product's mean is their mean, weighted by precision."""
    deviation, centre = 0.3, np.log(2.0)
    likelihood = -0.5 * ((np.log(SLOPES) - centre) / deviation) ** 2
    found = slope(Prior(0.5, 0.8, 0.01), [(likelihood, -50.0, 0.0)], MISMATCH)
    blurred, prior = 1 / (deviation**2 + MISMATCH**2), 1 / 0.8**2
    expected = (prior * np.log(0.5) + blurred * centre) / (prior + blurred)
    assert np.log(found) == pytest.approx(expected, abs=0.03)


def test_the_more_the_windows_may_mislead_the_less_they_move_the_prior() -> None:
    likelihood = -0.5 * ((np.log(SLOPES) - np.log(4.0)) / 0.2) ** 2
    near, far = (slope(UNKNOWN, [(likelihood, -9.0, 0.0)], mismatch) for mismatch in (MISMATCH, ELSEWHERE))
    assert UNKNOWN.slope < far < near < 4.0


def test_a_leg_that_does_not_find_its_own_passages_gets_nothing() -> None:
    assert slope(UNKNOWN, [(FLAT, 0.0, -8.0)], MISMATCH) == 0.0
    assert slope(UNKNOWN, [(FLAT, 0.0, 8.0)], MISMATCH) > 0.0


def test_noise_gets_nothing_whatever_the_queries_script() -> None:
    found = calibrate(LEGS, drawn((0.0, 2.0), LEAST_TRIALS), 100)
    assert found.scripts["latin"].weights == {"dense": 0.0, "lexical": 1.0}
    assert found.of("hangul") == found.others[ANY]
    assert found.others[ANY].weights["dense"] == 0.0


def test_a_known_model_is_trusted_where_nothing_was_asked() -> None:
    found = calibrate(LEGS, (), 3, E5)
    assert found.scripts == {}
    assert worth(found.others[ANY]) == pytest.approx(prior_of("dense", "thai", E5).slope, rel=0.02)
    assert found.of("thai") is found.others[ANY]
    english = calibrate(LEGS, (), 3, MINILM)
    assert set(english.others) == set(scripts_told_apart(MINILM)) == {ANY, "latin"}
    latin, other = english.of("latin"), english.of("hangul")
    assert latin is not None
    assert other is not None
    assert worth(latin) > 10 * worth(other)


def test_a_model_s_prior_and_the_collection_both_count() -> None:
    trials = drawn((8.0, 2.0), 60)
    plain, known = (calibrate(LEGS, trials, 500, prints).scripts["latin"] for prints in ({}, E5))
    assert prior_of("dense", "latin", E5).slope < worth(known) < worth(plain) < 4.5


def test_each_script_has_weights_of_its_own_if_it_has_enough_trials() -> None:
    latin = drawn((6.0, 1.0), 60)
    hangul = drawn((0.0, 3.0), LEAST_TRIALS, script="hangul")
    thai = drawn((1.0, 1.0), LEAST_TRIALS - 1, script="thai")
    found = calibrate(LEGS, [*latin, *hangul, *thai], 500)
    assert set(found.scripts) == {"latin", "hangul"}
    assert worth(found.scripts["latin"]) > 1
    assert found.scripts["hangul"].weights["dense"] == 0
    assert found.of("thai") is found.others[ANY]
    assert found.others[ANY].queries == 80


def test_mrr_and_units_by_hand() -> None:
    trial = Trial(
        "latin",
        np.array([[0.9, 0.5], [1.0, 4.0]]),
        np.array([0.7, 0.0]),
        np.array([0.9, 9.0]),
        np.array([0.25, 0.0]),
        np.array([0.6, 0.0]),
    )
    found = calibrate(LEGS, [trial] * LEAST_TRIALS, 100).scripts["latin"]
    assert found.mrr == pytest.approx({"dense": 1 / 2, "lexical": 1 / 3})
    assert found.units == {"dense": 0.25}
    assert found.middles == pytest.approx({"dense": 0.6})
    assert found.queries == LEAST_TRIALS


def test_where_no_leg_is_lexical_the_first_is_the_measure() -> None:
    found = calibrate(("dense", "letters"), drawn((1.0, 1.0), 40), 100)
    assert 0 < found.scripts["latin"].weights["letters"] < found.scripts["latin"].weights["dense"] * 4


def test_json_round_trip() -> None:
    found = calibrate(LEGS, drawn((1.0, 1.0), 40), 500, MINILM)
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert Calibration.from_json(None) is None
    assert Calibration.from_json({**found.to_json(), "version": VERSION - 1}) is None
