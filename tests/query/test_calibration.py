"""Learning the fusion's weights from trials whose right answer is known."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.query.fusion.calibration import (
    EVENNESS,
    LEAST_TRIALS,
    RIDGE,
    UNRELATED,
    Calibration,
    Trial,
    calibrate,
    fit_slopes,
)

LEGS = ("dense", "lexical")
Float64 = npt.NDArray[np.float64]


def drawn(slopes: Sequence[float], count: int, seed: int = 0, noise: float = 0.0) -> list[Trial]:
    """Trials of 30 to 60 candidates, the target drawn as the model says, or at random with chance `noise`."""
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(count):
        scores = rng.normal(size=(len(slopes), int(rng.integers(30, 61))))
        powers = np.exp(np.array(slopes) @ scores)
        target = rng.choice(len(powers), p=powers / powers.sum())
        if rng.random() < noise:
            target = rng.integers(len(powers))
        trials.append(Trial("latin", scores, int(target)))
    return trials


def objective(slopes: Float64, trials: Sequence[Trial]) -> float:
    """What the slopes minimise, written down plainly."""
    total = 0.0
    for trial in trials:
        powers = np.exp(slopes @ trial.scores)
        chance = powers[trial.target] / powers.sum()
        total -= np.log((1 - UNRELATED) * chance + UNRELATED / len(powers))
    uneven = 2 * EVENNESS * ((slopes - slopes.mean()) ** 2).sum()
    return float((total + uneven) / len(trials) + RIDGE * slopes @ slopes)


@pytest.mark.parametrize("truth", [(2.0, 1.0), (0.5, 3.0), (1.0, 1.0, 2.0)])
def test_the_slopes_that_made_the_trials_are_found(truth: tuple[float, ...]) -> None:
    slopes = fit_slopes(drawn(truth, 1500, noise=UNRELATED))
    assert slopes == pytest.approx(truth, rel=0.2, abs=0.15)


def test_no_slopes_nearby_are_better() -> None:
    trials = drawn((1.5, 0.4), 60, noise=0.3)
    slopes = fit_slopes(trials)
    least = objective(slopes, trials)
    for change in ([0.02, 0], [-0.02, 0], [0, 0.02], [0, -0.02], [0.02, 0.02], [-0.02, 0.02]):
        assert objective(np.maximum(slopes + change, 0), trials) >= least - 1e-7


def test_a_leg_that_misleads_gets_nothing() -> None:
    trials = drawn((2.0, -2.0), 200)
    slopes = fit_slopes(trials)
    assert slopes[0] > 0.5
    assert slopes[1] == 0


def test_a_leg_that_gives_all_the_same_does_no_harm() -> None:
    trials = [
        Trial("latin", np.vstack([t.scores, np.full(t.scores.shape[1], 3.0)]), t.target) for t in drawn((2.0,), 50)
    ]
    found = calibrate(LEGS, trials, 100).scripts["latin"]
    assert found.weights["dense"] >= 0.5
    assert found.units["lexical"] > 0


def test_few_trials_are_pulled_towards_even_slopes_and_many_are_not() -> None:
    few, many = (fit_slopes(drawn((2.0, 0.0), count, seed=3)) for count in (LEAST_TRIALS, 3000))
    assert many[0] / many.sum() > 0.97
    alone = fit_slopes([Trial("latin", np.array([[9.0, 0.0, 0.0], [0.1, 0.0, 0.0]]), 0)] * LEAST_TRIALS)
    assert alone[1] > 0.1 * alone[0]  # the second leg helps little, but nothing speaks against it
    assert few[0] > few[1]


def test_where_targets_are_beaten_in_both_legs_the_less_bad_one_gets_everything() -> None:
    trials = [Trial("hangul", np.array([[3.0, 2.0, 1.0, 0.0], [9.0, 1.0, 0.0, 0.5]]), 3) for _ in range(30)]
    assert fit_slopes(trials).tolist() == [0.0, 1.0]


def test_nothing_is_learned_where_targets_come_last_in_every_leg() -> None:
    """As in texts of one template, which all hold the window but for the one that it was cut out of."""
    trials = [Trial("latin", np.array([[3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.9]]), 3) for _ in range(30)]
    assert fit_slopes(trials).tolist() == [0.0, 0.0]
    assert calibrate(LEGS, trials, 500).scripts == {}


def test_windows_that_say_nothing_count_little() -> None:
    clean = fit_slopes(drawn((2.0, 1.0), 1000))
    noisy = fit_slopes(drawn((2.0, 1.0), 1000, noise=0.4))
    assert noisy[0] / noisy.sum() == pytest.approx(clean[0] / clean.sum(), abs=0.05)


def test_targets_always_first_keep_the_slopes_finite() -> None:
    trials = [Trial("latin", np.array([[9.0, 0.0, 0.0], [9.0, 0.0, 0.0]]), 0) for _ in range(20)]
    slopes = fit_slopes(trials)
    assert np.isfinite(slopes).all()
    assert slopes[0] == pytest.approx(slopes[1])


def test_neither_scale_nor_order_of_candidates_or_trials_matters() -> None:
    trials = drawn((1.0, 2.0), 80)
    plain = calibrate(LEGS, trials, 500).scripts["latin"]
    rng = np.random.default_rng(1)
    changed = []
    for trial in reversed(trials):
        order = rng.permutation(trial.scores.shape[1])
        scores = trial.scores[:, order] * [[0.01], [40.0]] + [[0.5], [0.0]]
        changed.append(Trial("latin", scores, int(np.flatnonzero(order == trial.target)[0])))
    again = calibrate(LEGS, changed, 500).scripts["latin"]
    assert again.weights == pytest.approx(plain.weights, abs=1e-4)
    assert again.mrr == pytest.approx(plain.mrr)
    assert again.units["lexical"] == pytest.approx(40 * plain.units["lexical"])


def test_mrr_by_hand() -> None:
    trials = [Trial("latin", np.array([[0.9, 0.5, 0.7], [1.0, 4.0, 0.0]]), 2)] * LEAST_TRIALS
    found = calibrate(LEGS, trials, 100).scripts["latin"]
    assert found.mrr == pytest.approx({"dense": 1 / 2, "lexical": 1 / 3})
    assert found.queries == LEAST_TRIALS
    assert found.units["dense"] == pytest.approx(np.std([0.9, 0.5, 0.7]))


def test_each_script_has_weights_of_its_own_if_it_has_enough_trials() -> None:
    latin = drawn((3.0, 0.0), 60)
    hangul = [Trial("hangul", t.scores, t.target) for t in drawn((0.0, 3.0), LEAST_TRIALS)]
    thai = [Trial("thai", t.scores, t.target) for t in drawn((1.0, 1.0), LEAST_TRIALS - 1)]
    found = calibrate(LEGS, [*latin, *hangul, *thai], 500)
    assert set(found.scripts) == {"latin", "hangul"}
    assert found.scripts["latin"].weights["dense"] > 0.8
    assert found.scripts["hangul"].weights["lexical"] > 0.8
    assert calibrate(LEGS, [], 500) == Calibration(500, {})


def test_json_round_trip() -> None:
    found = calibrate(LEGS, drawn((1.0, 1.0), 40), 500)
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert Calibration.from_json(None) is None
    assert Calibration.from_json({**found.to_json(), "version": 0}) is None
