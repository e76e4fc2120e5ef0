"""Why legs were trusted, in words that follow from the numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from pipeline.config import FusionSettings
from pipeline.query.fusion.calibration import Calibration, LegWeights
from pipeline.query.fusion.trust import LegTrust, trust
from pipeline.query.legs.contract import EncodedQueries, Leg
from pipeline.query.snapshot import Ranking, Snapshot


class Fixed(Leg[int]):
    """A leg whose scores over ten chunks are given; a bound of 0: its scores are measured by their deviation."""

    def __init__(self, name: str, scores: list[float], bound: float = 0.0) -> None:
        self.name, self._scores, self._bound = name, np.array(scores), bound

    def prepare(self, queries: EncodedQueries) -> list[int]:
        return [0] * len(queries.texts)

    def candidates(self, queries: object, depth: int, kept: object = None) -> list[Ranking]:
        best = np.argsort(-self._scores)[:depth]
        best = best[self._scores[best] > 0]
        return [Ranking(best, self._scores[best].astype(np.float32))]

    def scores(self, query: int, ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray:  # type: ignore[type-arg]
        return self._scores[ids]

    def passage_score(self, query: int, passages: object, row: int) -> float:
        return 0.0

    def bound(self, query: int) -> float:
        return self._bound


SNAPSHOT = cast(
    Snapshot,
    SimpleNamespace(manifest=SimpleNamespace(chunks=10, fingerprints={}), background=np.arange(10)),
)
STANDS_OUT = Fixed("dense", [0.9] + [0.1, 0.2] * 4 + [0.1])
FLAT = Fixed("dense", [0.3, 0.1] * 5)
WORDS = Fixed("lexical", [3.0, 1.0] + [0.0] * 8, bound=12.0)
NO_WORDS = Fixed("lexical", [0.0] * 10, bound=12.0)


def told(*legs: Fixed, script: str = "latin", method: str = "auto") -> tuple[LegTrust, ...]:
    known = LegWeights(40, {"dense": 0.25, "lexical": 0.75}, mrr={"dense": 0.5, "lexical": 0.125})
    none = LegWeights(40, {"dense": 0.0, "lexical": 1.0}, mrr={"dense": 0.01, "lexical": 0.125})
    calibration = Calibration(
        10, {"latin": known, "hangul": none}, {"": known, "thai": LegWeights(0, known.weights)}
    )
    queries = EncodedQueries(("q",), None, None, None, (script,))
    fusion = FusionSettings.model_validate({"method": method})
    return trust(SNAPSHOT, legs, queries, fusion, calibration)[0]


def test_what_was_learned_and_what_was_found() -> None:
    dense, lexical = told(STANDS_OUT, WORDS)
    assert (dense.leg, dense.weight, lexical.leg, lexical.weight) == ("dense", 0.25, "lexical", 0.75)
    assert dense.words.startswith(
        "trusted after 40 questions cut from the collection's own texts (mean reciprocal rank 0.50)"
    )
    assert "all latin" in dense.words
    assert "2.9 deviations above the mean, more than chance would give" in dense.words
    assert lexical.words.endswith("its best chunk has 25% of what the query's words could give")


def test_a_leg_that_found_nothing_is_told() -> None:
    dense, lexical = told(FLAT, NO_WORDS)
    assert "1.0 deviations above the mean, no more than chance would give" in dense.words
    assert lexical.words.endswith("none of the query's words is in the index, so it says nothing")


def test_why_other_scripts_are_trusted_or_not() -> None:
    assert "does not find the collection's passages" in told(STANDS_OUT, WORDS, script="hangul")[0].words
    assert "too little cyrillic text" in told(STANDS_OUT, WORDS, script="cyrillic")[0].words
    assert "too small to judge it by" in told(STANDS_OUT, WORDS, script="thai")[0].words


@pytest.mark.parametrize("method", ["rrf", "minmax"])
def test_other_methods_and_single_legs_say_nothing(method: str) -> None:
    assert told(STANDS_OUT, WORDS, method=method) == ()
    assert told(STANDS_OUT) == ()
