"""The gate without labels: what is a collapse, at which numbers, and what noise never makes of an honest night."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import GateRefusedError
from pipeline.evaluate.known_items import KnownItem, KnownItems
from pipeline.index import store
from pipeline.job.build import build
from pipeline.job.comparison.collapse import CONFIDENCE, Compared, Known, compared, lines
from pipeline.job.report.record import load
from tests.support.nights import BROKEN, collection, config_of, encoder, write


def items(ranks: Sequence[float], script: str = "latin", first: int = 0, own: bool = True) -> KnownItems:
    found = tuple(
        KnownItem(f"{script}{first + i}", script, own, {"dense": rank, "lexical": 1.0})
        for i, rank in enumerate(ranks)
    )
    return KnownItems(len(found), len(found), found, ("dense", "lexical"))


NOTHING = KnownItems(legs=("dense", "lexical"))


def collapsed(known: Known, ratio: float = 0.5) -> set[tuple[str, str, str]]:
    return {(one.what, one.leg, one.script) for one in compared(known, ratio) if one.collapsed}


def test_the_margin_is_that_of_paired_differences() -> None:
    now, was = items([0.25, 0.5] * 10), items([1.0, 0.5] * 10)
    (dense,) = (one for one in compared(Known(now, NOTHING, was), 0.5) if one.leg == "dense" and not one.script)
    assert (dense.queries, dense.now, dense.before) == (20, 0.375, 0.75)
    # now - ratio · before is -0.25 and 0.25 by turns: a deviation of 0.25
    assert dense.margin == pytest.approx(CONFIDENCE * 0.25 / np.sqrt(20))
    assert not dense.collapsed


def test_a_leg_that_finds_nothing_has_collapsed_and_the_other_not() -> None:
    found = collapsed(Known(items([0.0] * 40), NOTHING, items([1.0] * 40)))
    assert found == {("kept", "dense", ""), ("kept", "dense", "latin")}


def test_too_few_passages_say_nothing() -> None:
    assert collapsed(Known(items([0.0] * 19), NOTHING, items([1.0] * 19))) == set()


def test_one_script_of_two_is_enough() -> None:
    def both(hangul: float) -> KnownItems:
        one, two = items([1.0] * 100), items([hangul] * 25, "hangul")
        return KnownItems(125, 125, (*one.items, *two.items), one.legs)

    assert collapsed(Known(both(0.0), NOTHING, both(1.0))) == {("kept", "dense", "hangul")}


def test_new_passages_are_judged_by_all_of_the_live_ones() -> None:
    healthy, new = items([1.0] * 100), items([0.0] * 25, first=1000)
    assert collapsed(Known(healthy, new, healthy)) == {("new", "dense", ""), ("new", "dense", "latin")}


def test_texts_that_all_say_the_same_or_say_nothing() -> None:
    healthy = items([1.0] * 50)
    same = items([1.0] * 50, own=False)
    assert collapsed(Known(same, NOTHING, healthy)) == {("own", "", "")}
    wordless = KnownItems(50, 0, (), healthy.legs)
    assert collapsed(Known(wordless, NOTHING, healthy)) == {("worded", "", "")}


def test_a_first_build_is_refused_only_if_no_leg_finds_anything() -> None:
    assert collapsed(Known(items([0.0] * 100), NOTHING)) == set()  # words find it
    lost = tuple(KnownItem(str(i), "latin", True, {"dense": 0.0, "lexical": 0.0}) for i in range(100))
    known = Known(KnownItems(100, 100, lost, ("dense", "lexical")), NOTHING)
    assert collapsed(known) == {("kept", "dense", ""), ("kept", "lexical", "")}
    assert collapsed(known, ratio=0.0) == set()


def test_a_leg_that_never_found_anything_cannot_fall() -> None:
    assert collapsed(Known(items([0.0] * 100), NOTHING, items([0.05] * 100))) == set()


def test_of_each_leg_one_line_with_most_queries() -> None:
    said = list(lines(compared(Known(items([0.0] * 40), NOTHING, items([1.0] * 40)), 0.5), 0.5))
    assert said == [
        "dense leg, kept passages: 0.00 where the live generation had 1.00 (40 queries without labels), "
        "below gate.min_known_item_ratio=0.5"
    ]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=20, max_size=60))
def test_nothing_that_keeps_its_share_is_refused(pairs: list[tuple[float, float]]) -> None:
    now, was = [max(a, b) for a, b in pairs], [min(a, b) for a, b in pairs]
    assert collapsed(Known(items(now), items(now, first=500), items(was))) == set()


@pytest.mark.parametrize("mean", [0.3, 0.6, 0.9])
def test_chance_alone_raises_no_alarm(mean: float) -> None:
    """Two hundred pairs of samples of one and the same distribution."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        now, was = (rng.binomial(1, mean, 20).astype(float).tolist() for _ in range(2))
        found = collapsed(Known(items([1.0] * 20), items(now, first=99), items(was)))
        assert ("new", "dense", "") not in found


def test_what_was_measured_survives_the_manifest() -> None:
    found = items([0.5, 0.25])
    assert KnownItems.from_json(found.to_json()) == found
    for damaged in ({}, {"version": 0}, found.to_json() | {"items": [["a"]]}, found.to_json() | {"legs": 3}):
        assert KnownItems.from_json(damaged) is None


def test_a_comparison_has_a_name_that_people_understand() -> None:
    assert Compared("new", "dense", "hangul", 20, 1.0).name == "dense leg, new passages in hangul"
    assert Compared("own", "", "", 20, 1.0).name == "passages that say what no other document says"


def test_honest_nights_pass_and_their_reports_tell_what_was_found(tmp_path: Path) -> None:
    nights = collection(random.Random(3))
    for night in range(4):
        if night:
            nights.night()
        write(tmp_path / "documents", nights.texts)
        build(config_of(tmp_path), encoder=encoder())
    record = load(tmp_path / "index")
    legs = {(one.leg, one.script) for one in record.known_items if one.what == "kept"}
    assert legs >= {("dense", ""), ("lexical", ""), ("dense", "hangul"), ("lexical", "latin")}
    assert all(one.before and one.now > 0.8 * one.before for one in record.known_items)
    assert "Passages find themselves" in (tmp_path / "index/reports" / f"{record.generation:08d}.html").read_text()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_night_is_refused(name: str, tmp_path: Path) -> None:
    nights = collection(random.Random(3))
    write(tmp_path / "documents", nights.texts)
    build(config_of(tmp_path), encoder=encoder())
    nights.edit(0.2)
    write(tmp_path / "documents", nights.texts)
    side, fault, full = BROKEN[name]
    with pytest.raises(GateRefusedError, match=r"gate\.min_known_item_ratio"):
        build(config_of(tmp_path), encoder=encoder(side, fault), full=full)
    live = store.live_manifest(tmp_path / "index")
    assert live is not None
    assert live.generation == 1
    build(config_of(tmp_path), encoder=encoder())  # mended, the night is as honest as any
