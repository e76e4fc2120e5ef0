"""Plots are well-formed XML, say what they show, and put values where they belong."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.job.report import plots

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)
VALUES = st.floats(-1e9, 1e9, allow_nan=False)


def shapes(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(tag))


def test_bars_are_as_long_as_their_values() -> None:
    svg = plots.bars("Time", [("encode", 4.0, "4 s"), ("<ingest>", 1.0, "1 s"), ("gate", 0.0, "0 s")])
    long, short, none = (float(bar.attrib["width"]) for bar in shapes(svg, "rect"))
    assert long == pytest.approx(4 * short)
    assert none == 1.0
    assert "<ingest>" in {text.text for text in shapes(svg, "text")}


def test_histogram_bars_are_as_tall_as_their_counts() -> None:
    bars = shapes(plots.histogram("Lengths", [0, 10, 20, 30], [2, 0, 1], "characters"), "rect")
    assert [float(bar.attrib["height"]) for bar in bars] == [140.0, 0.0, 70.0]
    assert bars[2][0].text == "20 to 30 characters: 1"


def test_a_line_has_gaps_where_nothing_was_measured() -> None:
    svg = plots.lines("Measures", ["1", "2", "3", "4"], [("nDCG@10", [0.5, None, 0.25, 0.75])], ".2f")
    assert [line.attrib["points"].count(",") for line in shapes(svg, "polyline")] == [2]
    heights = [float(dot.attrib["cy"]) for dot in shapes(svg, "circle")]
    assert heights[1] > heights[0] > heights[2]  # SVG counts downward
    assert heights[0] == pytest.approx((heights[1] + heights[2]) / 2)


def test_nothing_known_is_no_plot() -> None:
    assert plots.lines("Measures", ["1"], [("a", [None])], ".2f") == ""


@given(st.lists(st.tuples(NAMES, st.lists(st.none() | VALUES, min_size=3, max_size=3)), min_size=1, max_size=8))
@example([("the least number", [None, None, 5e-324])])
def test_any_series_is_drawn_inside_the_plot(series: list[tuple[str, list[float | None]]]) -> None:
    svg = plots.lines("A <title> & 'more'", ["1", "2", "3"], series, ",.3f")
    if not svg:
        assert all(value is None for _, values in series for value in values)
        return
    height = float(ElementTree.fromstring(svg).attrib["viewBox"].split()[3])
    for dot in shapes(svg, "circle"):
        assert 0 <= float(dot.attrib["cx"]) <= plots.WIDTH
        assert 0 <= float(dot.attrib["cy"]) <= height


@given(st.lists(st.tuples(NAMES, st.floats(0, 1e9), NAMES), max_size=6))
def test_any_bars_are_well_formed(rows: list[tuple[str, float, str]]) -> None:
    assert len(shapes(plots.bars("t", rows), "rect")) == len(rows)
