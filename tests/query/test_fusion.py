"""Fusion as pure functions: hand-computed values, and what must hold whatever the scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import QueryError
from pipeline.query.fusion.calibration import Calibration, LegWeights
from pipeline.query.fusion.methods import METHODS, LegColumn, fuse, preset_weights, z_score

EMPTY = LegColumn("lexical", np.zeros(3), np.zeros(3, np.int64), 0.0, 0.0)
CALIBRATION = Calibration(
    100,
    {
        "latin": LegWeights(50, {"dense": 0.75, "lexical": 0.25}),
        "hangul": LegWeights(50, {"dense": 0.0, "lexical": 1.0}),
    },
)


def leg(name: str, scores: list[float], depth: int = 100, bound: float = 0.0, unit: float = 1.0) -> LegColumn:
    """A leg whose candidates are all there is; those with a score of zero are not matched by a lexical leg."""
    values = np.array(scores)
    order = np.argsort(-values, kind="stable")
    matched = [i for i in order if name != "lexical" or values[i] > 0][:depth]
    ranks = np.zeros(len(values), np.int64)
    ranks[matched] = np.arange(1, len(matched) + 1)
    fewer = name == "lexical" and len(matched) < depth
    floor = 0.0 if fewer or not matched else float(values[matched[-1]])
    return LegColumn(name, values, ranks, float(values.max()), floor, bound, unit)


def test_rrf_by_hand() -> None:
    fused = fuse("rrf", [leg("dense", [0.9, 0.1, 0.5]), leg("lexical", [0.0, 7.0, 0.0])], {"lexical": 2.0})
    assert fused.scores == pytest.approx([1 / 61, 1 / 63 + 2 / 61, 1 / 62])
    assert fused.weights == (1.0, 2.0)


def test_minmax_by_hand() -> None:
    fused = fuse("minmax", [leg("dense", [0.9, 0.1, 0.5]), leg("lexical", [0.0, 8.0, 2.0])], {})
    assert fused.scores == pytest.approx([0.5 * 1 + 0.5 * 0, 0.5 * 0 + 0.5 * 1, 0.5 * 0.5 + 0.5 * 0.25])


def test_zscore_and_dbsf_by_hand() -> None:
    column = leg("dense", [1.0, 2.0, 3.0])
    deviation = np.sqrt(2 / 3)
    assert fuse("zscore", [column], {}).scores == pytest.approx([-1 / deviation, 0.0, 1 / deviation])
    low, high = 2 - 3 * deviation, 2 + 3 * deviation
    assert fuse("dbsf", [column], {}).scores == pytest.approx((column.scores - low) / (high - low))


def test_zscore_counts_what_a_lexical_leg_does_not_match_as_one_zero() -> None:
    assert z_score(leg("lexical", [6.0, 0.0, 0.0])) == pytest.approx([1.0, -1.0, -1.0])


def test_theoretical_by_hand() -> None:
    legs = [leg("dense", [0.5, -0.2]), leg("lexical", [3.0, 6.0], bound=12.0)]
    assert fuse("theoretical", legs, {}).normalized == pytest.approx(np.array([[0.75, 0.4], [0.25, 0.5]]))
    assert fuse("theoretical", [leg("lexical", [3.0])], {}).scores == [0.0]


def test_weighted_is_flagembeddings_compute_score() -> None:
    """The worked example of FlagEmbedding's README, pair 1, weights [0.4, 0.2, 0.4]."""
    legs = [leg("dense", [0.62598]), leg("lexical", [0.19556]), leg("multivector", [0.77965])]
    weights = {"dense": 0.4, "lexical": 0.2, "multivector": 0.4}
    assert fuse("weighted", legs[:2], weights).scores == pytest.approx([0.48250], abs=2e-5)
    assert fuse("weighted", legs, weights).scores == pytest.approx([0.60136], abs=2e-5)


def test_presets_are_the_papers_weights() -> None:
    assert preset_weights("m3-miracl", ["dense", "lexical"]) == {"dense": 1.0, "lexical": 0.3}
    assert preset_weights("m3-miracl", ["dense", "lexical", "multivector"])["multivector"] == 1.0
    assert preset_weights("m3-mldr", ["lexical", "dense"]) == {"lexical": 0.8, "dense": 0.2}
    assert sum(preset_weights("m3-mldr", ["dense", "lexical", "multivector"]).values()) == pytest.approx(1)
    with pytest.raises(QueryError, match="did you mean 'm3-mldr'"):
        preset_weights("m3-mlrd", ["dense", "lexical"])
    with pytest.raises(QueryError, match=r"no weights for lexical \+ multivector; only for: dense \+ lexical"):
        preset_weights("m3-mldr", ["lexical", "multivector"])


def test_auto_by_hand() -> None:
    legs = [leg("dense", [0.5, 0.2], unit=0.1), leg("lexical", [2.0, 8.0], unit=4.0)]
    fused = fuse("auto", legs, {}, calibration=CALIBRATION, script="latin")
    assert fused.weights == (0.75, 0.25)
    assert fused.scores == pytest.approx([0.75 * 5 + 0.25 * 0.5, 0.75 * 2 + 0.25 * 2])
    korean = fuse("auto", legs, {}, calibration=CALIBRATION, script="hangul")
    assert korean.scores == pytest.approx([0.5, 2.0])


def test_auto_counts_from_the_middle_which_changes_no_order() -> None:
    dense, lexical = leg("dense", [0.9, 0.8], unit=0.05), leg("lexical", [2.0, 8.0], unit=4.0)
    plain = fuse("auto", [dense, lexical], {}, calibration=CALIBRATION, script="latin")
    moved = fuse("auto", [replace(dense, middle=0.7), lexical], {}, calibration=CALIBRATION, script="latin")
    assert moved.normalized[0] == pytest.approx([4.0, 2.0])
    assert moved.scores - plain.scores == pytest.approx([-0.75 * 14, -0.75 * 14])


def test_auto_multiplies_by_the_weights_given() -> None:
    legs = [leg("dense", [0.5, 0.2], unit=0.1), leg("lexical", [2.0, 8.0], unit=4.0)]
    fused = fuse("auto", legs, {"lexical": 3.0}, calibration=CALIBRATION, script="latin")
    assert fused.weights == (0.5, 0.5)
    # The only leg wanted is one that the calibration found worthless: there is still a ranking.
    fused = fuse("auto", legs, {"lexical": 0.0}, calibration=CALIBRATION, script="hangul")
    assert fused.scores == pytest.approx([5.0, 2.0])


@pytest.mark.parametrize(
    ("calibration", "script"), [(None, "latin"), (CALIBRATION, "thai"), (Calibration(3, {}), "latin")]
)
def test_auto_without_a_calibration_is_theoretical(calibration: Calibration | None, script: str) -> None:
    legs = [leg("dense", [0.5, 0.2]), leg("lexical", [2.0, 8.0], bound=20.0)]
    fused = fuse("auto", legs, {}, calibration=calibration, script=script)
    assert np.array_equal(fused.scores, fuse("theoretical", legs, {}).scores)


def test_queries_in_a_script_that_the_collection_has_not_get_the_weights_for_others() -> None:
    others = {"": LegWeights(0, {"dense": 0.5, "lexical": 0.5}), "thai": LegWeights(0, {"dense": 1, "lexical": 0})}
    calibration = Calibration(100, CALIBRATION.scripts, others)
    legs = [leg("dense", [0.5, 0.2]), leg("lexical", [2.0, 8.0])]
    weights = {
        script: fuse("auto", legs, {}, calibration=calibration, script=script).weights
        for script in ("latin", "thai", "han")
    }
    assert weights == {"latin": (0.75, 0.25), "thai": (1.0, 0.0), "han": (0.5, 0.5)}


def test_auto_with_a_leg_that_was_not_calibrated_is_theoretical() -> None:
    legs = [leg("dense", [0.5]), leg("multivector", [0.2])]
    assert fuse("auto", legs, {}, calibration=CALIBRATION, script="latin").scores == pytest.approx([0.675])


def random_legs(seed: int, count: int = 40) -> list[LegColumn]:
    rng = np.random.default_rng(seed)
    lexical = np.where(rng.random(count) < 0.6, rng.gamma(2, 4, count), 0)
    return [leg("dense", rng.normal(0.3, 0.1, count).tolist(), 25), leg("lexical", lexical.tolist(), 20, 60.0)]


@pytest.mark.parametrize("method", METHODS)
def test_contributions_add_up_to_the_score(method: str) -> None:
    fused = fuse(method, random_legs(1), {"dense": 2.0}, calibration=CALIBRATION, script="latin")
    assert fused.contributions.sum(axis=0) == pytest.approx(fused.scores)
    assert fused.contributions == pytest.approx(fused.normalized * np.array(fused.weights)[:, None])
    if method != "rrf":
        assert sum(fused.weights) == pytest.approx(1)


@pytest.mark.parametrize("method", METHODS)
def test_a_candidates_score_does_not_depend_on_its_place_or_the_legs_order(method: str) -> None:
    legs = random_legs(2)
    plain = fuse(method, legs, {"dense": 2.0}, calibration=CALIBRATION, script="latin")
    order = np.random.default_rng(3).permutation(len(plain.scores))
    moved = [replace(c, scores=c.scores[order], ranks=c.ranks[order]) for c in reversed(legs)]
    again = fuse(method, moved, {"dense": 2.0}, calibration=CALIBRATION, script="latin")
    assert again.scores == pytest.approx(plain.scores[order])


@pytest.mark.parametrize("method", METHODS)
def test_candidates_beyond_the_depth_change_no_score(method: str) -> None:
    """What k > depth adds to the union: chunks without a rank, below every floor."""
    legs = random_legs(4)
    more = [replace(c, scores=np.append(c.scores, c.floor / 2), ranks=np.append(c.ranks, 0)) for c in legs]
    plain = fuse(method, legs, {}, calibration=CALIBRATION, script="latin").scores
    assert fuse(method, more, {}, calibration=CALIBRATION, script="latin").scores[:-1] == pytest.approx(plain)


@pytest.mark.parametrize("method", ["minmax", "zscore", "dbsf", "weighted", "theoretical"])
def test_a_leg_that_gives_all_the_same_changes_no_order(method: str) -> None:
    dense = leg("dense", [0.3, 0.9, 0.1, 0.5])
    constant = LegColumn("lexical", np.full(4, 7.0), np.arange(1, 5), 7.0, 7.0, 20.0)
    fused = fuse(method, [dense, constant], {})
    assert np.array_equal(np.argsort(fused.scores), np.argsort(dense.scores))
    assert np.isfinite(fused.scores).all()


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_leg_leaves_the_other_leg_s_order(method: str) -> None:
    dense = leg("dense", [0.3, 0.9, 0.1])
    fused = fuse(method, [dense, EMPTY], {}, calibration=CALIBRATION, script="latin")
    assert np.array_equal(np.argsort(fused.scores), np.argsort(dense.scores))


@pytest.mark.parametrize("method", METHODS)
def test_a_lone_hit_is_first(method: str) -> None:
    lone = leg("lexical", [0.0, 5.0, 0.0], bound=10.0)
    level = LegColumn("dense", np.full(3, 0.4), np.arange(1, 4), 0.4, 0.4)
    fused = fuse(method, [level, lone], {}, calibration=CALIBRATION, script="latin")
    assert fused.scores.argmax() == 1
    assert np.isfinite(fused.scores).all()


@pytest.mark.parametrize("method", METHODS)
def test_no_candidates(method: str) -> None:
    nothing = [LegColumn(name, np.zeros(0), np.zeros(0, np.int64), 0.0, 0.0) for name in ("dense", "lexical")]
    assert len(fuse(method, nothing, {}, calibration=CALIBRATION, script="latin").scores) == 0


def test_refusals() -> None:
    legs = [leg("dense", [0.5]), leg("lexical", [2.0])]
    with pytest.raises(QueryError, match="unknown fusion 'minmx'; did you mean 'minmax'"):
        fuse("minmx", legs, {})
    with pytest.raises(QueryError, match="known: auto, dbsf, minmax, rrf, theoretical, weighted, zscore"):
        fuse("?", legs, {})
    with pytest.raises(QueryError, match="zero or more"):
        fuse("auto", legs, {"dense": -1.0})
    for method in ("auto", "weighted", "rrf", "zscore"):
        with pytest.raises(QueryError, match="fusion weights of dense, lexical are too large to be added up"):
            fuse(method, legs, {"dense": 1e308, "lexical": 1e308})
    assert fuse("weighted", legs, {"dense": 1e308, "lexical": 0.0}).scores.tolist() == [0.5]
    with pytest.raises(QueryError, match="all zero"):
        fuse("auto", legs, {"dense": 0.0, "lexical": 0.0})
