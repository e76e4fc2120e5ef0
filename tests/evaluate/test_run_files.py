"""Runs survive a round trip; broken ones name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import EvaluationError
from pipeline.evaluate.run_files import read_run, save_run


def test_a_saved_run_reads_back_in_the_same_order(tmp_path: Path) -> None:
    run = {"q1": [("a b.md", 2.0), ("c", 2.0), ("b", -0.25)], "q2": [("d", 1e-12)]}
    save_run(tmp_path / "new folder/x.trec", run, "hybrid")
    assert read_run(tmp_path / "new folder/x.trec") == run


def test_scores_never_rise_with_the_rank(tmp_path: Path) -> None:
    # Hits beyond the fused depth follow by rank whatever they score; any other reader sorts by score.
    save_run(tmp_path / "x", {"q": [("a", 0.5), ("b", 0.1), ("c", 0.3)]}, "t")
    assert read_run(tmp_path / "x") == {"q": [("a", 0.5), ("b", 0.1), ("c", 0.1)]}


def test_score_decides_not_the_place_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("q Q0 b 1 1.5 t\n\nq Q0 a 2 3 t\nq Q0 d 9 1.5 t\n")
    assert read_run(tmp_path / "x") == {"q": [("a", 3.0), ("b", 1.5), ("d", 1.5)]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("q Q0 a 1 1.0 t\nq Q0 a\n", r"x:2: expected"),
        ("q Q0 a one 1.0 t\n", r"x:1: expected"),
        ("q Q0 a 1 nan t\n", r"x:1: expected"),
        ("q Q0 a 1 2 t\nq Q0 a 2 1 t\n", r"x:2: query 'q' has 'a' twice"),
        ("\n", "x: no hits"),
    ],
)
def test_broken_runs(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(EvaluationError, match=says):
        read_run(tmp_path / "x")


def test_unreadable_and_unwritable(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="nowhere: cannot be read"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(EvaluationError, match="'a b' has blanks"):
        save_run(tmp_path / "x", {"a b": [("d", 1.0)]}, "t")
    assert not (tmp_path / "x").exists()
