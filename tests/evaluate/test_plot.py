"""Plots: the two formats, the same bytes for the same values, and what a missing package does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pipeline.errors import EvaluationError, MissingDependencyError
from pipeline.evaluate.plot import check_plot, save_plot

VALUES = {
    "dense": {"nDCG@10": {"1": 0.0, "2": 1.0}, "R@100": {"1": 1.0, "2": 1.0}},
    "hybrid & <co>": {"nDCG@10": {"1": 0.5, "2": 1.0}, "R@100": {"1": 1.0, "2": 1.0}},
}


def test_svg_holds_runs_measures_and_means(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    save_plot(tmp_path / "a.svg", VALUES, "2 queries")
    text = (tmp_path / "a.svg").read_text("utf-8")
    for word in ("dense", "hybrid &amp; &lt;co&gt;", "nDCG@10", "R@100", "0.500", "0.750", "2 queries"):
        assert word in text
    save_plot(tmp_path / "b.svg", VALUES, "2 queries")
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "a.svg").read_bytes()


def test_png_of_one_query(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    save_plot(tmp_path / "a.PNG", {"dense": {"P@1": {"1": 1.0}}})
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EvaluationError, match=r"a\.pdf: a plot is \.png or \.svg"):
        check_plot(tmp_path / "a.pdf")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"hybrid-pipeline\[plot\]"):
        check_plot(tmp_path / "a.png")
