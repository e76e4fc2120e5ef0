"""What trials say of legs, against sums written down plainly and against legs whose worth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.query.fusion.evidence import ALONE, SHARPNESS, SLOPES, UNRELATED, Trial, weigh


def drawn(worth: Sequence[float], count: int, seed: int = 0, script: str = "latin") -> list[Trial]:
    """Trials whose target is drawn as a conditional logit with these slopes says; the last leg is the measure."""
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(count):
        scores = rng.normal(size=(len(worth), int(rng.integers(30, 61))))
        powers = np.exp(np.array(worth) @ scores)
        target = rng.choice(len(powers), p=powers / powers.sum())
        others, found = np.delete(scores, target, axis=1), scores[:, target]
        own = found + 3.0 * (np.array(worth) > 0)
        trials.append(Trial(script, others, found, own, np.ones(len(worth)), np.zeros(len(worth))))
    return trials


def test_likelihoods_are_the_sums_written_down() -> None:
    others = np.array([[0.5, 0.1], [2.0, 1.0]])
    trial = Trial("latin", others, np.array([1.0, 1.5]), np.array([2.0, 3.0]), np.array([0.5, 0.0]), np.zeros(2))
    found = weigh([trial], measure=1)

    def likelihood(worth: float) -> float:
        chances = []
        for sharpness in SHARPNESS:
            logits = sharpness * (worth * np.array([2.0, 1.0, 0.2]) + np.array([1.5, 2.0, 1.0]))
            powers = np.exp(logits - logits.max())
            chances.append((1 - UNRELATED) * powers[0] / powers.sum() + UNRELATED / 3)
        return float(np.log(sum(chances)))

    expected = np.array([likelihood(worth) for worth in (0.0, *SLOPES)])
    expected -= expected.max()
    assert found.nothing[0] == pytest.approx(expected[0])
    assert found.likelihoods[0] == pytest.approx(expected[1:])

    alone = []
    for worth in ALONE:
        powers = np.exp(worth * np.array([4.0, 1.0, 0.2]))
        alone.append(3 * ((1 - UNRELATED) * powers[0] / powers.sum() + UNRELATED / 3))
    assert found.own[0] == pytest.approx(np.log(np.mean(alone)))


@pytest.mark.parametrize("worth", [0.1, 1.0, 4.0])
def test_the_worth_that_made_the_trials_is_the_likeliest(worth: float) -> None:
    found = weigh(drawn((2 * worth, 2.0), 1500), measure=1)
    assert np.log(SLOPES[found.likelihoods[0].argmax()]) == pytest.approx(np.log(worth), abs=0.45)


def test_each_of_three_legs_is_found_beside_the_others() -> None:
    found = weigh(drawn((3.0, 1.0, 1.0), 1500), measure=2)
    worth = [SLOPES[found.likelihoods[row].argmax()] for row in (0, 1)]
    assert np.log(worth) == pytest.approx(np.log([3.0, 1.0]), abs=0.45)


def test_a_leg_of_noise_is_told_from_one_that_knows_something() -> None:
    found = weigh(drawn((0.0, 2.0), 20), measure=1)
    assert found.own[0] < -1
    assert found.nothing[0] > found.likelihoods[0][-5:].max()
    assert weigh(drawn((2.0, 2.0), 20), measure=1).own[0] > 3


def test_short_passages_say_nothing_of_slopes() -> None:
    trials = [
        Trial(t.script, t.others, t.target, t.own, t.deviations, t.means, is_short=True)
        for t in drawn((2.0, 1.0), 30)
    ]
    found = weigh(trials, measure=1)
    assert not found.likelihoods[0].any()
    assert found.own[0] == weigh(drawn((2.0, 1.0), 30), measure=1).own[0]


def test_neither_order_nor_the_scale_of_a_leg_without_a_unit_matters() -> None:
    trials = drawn((1.0, 2.0), 40)
    rng = np.random.default_rng(1)
    changed = []
    for trial in reversed(trials):
        order = rng.permutation(trial.others.shape[1])
        scale = np.array([0.01, 1.0])
        others = trial.others[:, order] * scale[:, None]
        changed.append(
            Trial(
                trial.script, others, trial.target * scale, trial.own * scale, trial.deviations * scale, trial.means
            )
        )
    plain, again = weigh(trials, measure=1), weigh(changed, measure=1)
    assert again.likelihoods[0] == pytest.approx(plain.likelihoods[0])
    assert again.own[0] == pytest.approx(plain.own[0])
    assert again.mrr == pytest.approx(plain.mrr)
    assert again.deviations == pytest.approx(plain.deviations * [0.01, 1.0])
