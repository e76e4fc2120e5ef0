"""Tuning on the command line: what is printed, what is written, and when nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.evaluate.tune import Tuning
from tests.support.collection import TEXTS, write_documents
from tests.support.command_line import refused, run

CONFIG = "index: index\nsources: [{path: documents}]\n"
FILES = ("--queries", "q.jsonl", "--qrels", "qrels.txt")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text(CONFIG)
    texts = [text.split("\n")[-1] for text in TEXTS.values()] * 4
    lines = [json.dumps({"_id": str(number), "text": text}) for number, text in enumerate(texts)]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    (tmp_path / "qrels.txt").write_text("\n".join(f"{i} 0 {name} 1" for i, name in enumerate([*TEXTS] * 4)))
    assert run(tmp_path, "build").exit_code == 0
    return tmp_path


def test_it_prints_and_writes_a_setting(built: Path) -> None:
    result = run(built, "tune", *FILES)
    assert "query:\n  fusion:\n    method: " in result.stdout
    assert "tuned - hybrid: " in result.stdout
    written = run(built, "tune", *FILES, "--write", "--json")
    record = json.loads(written.stdout)
    assert record["tuning_queries"] + record["held_out_queries"] == 4 * len(TEXTS)
    assert written.exit_code == (0 if record["better"] else 4)
    assert ((built / "config.yaml").read_text() != CONFIG) == record["better"]


def test_shares_that_leave_nothing(built: Path) -> None:
    refused(built, "tune", *FILES, "--held-out", "0.01", code=1, says="leaves none to judge by")
    refused(built, "tune", *FILES, "--held-out", "nan", code=1, says="--held-out nan: give a share")


@pytest.mark.parametrize(
    ("better", "gain", "mode", "says"),
    [
        (True, 0.1, "hybrid", "query.fusion is changed; queries use it from now on"),
        (True, 0.1, "lexical", "query.mode is lexical: queries with --mode hybrid use it from now on"),
        (False, 0.1, "hybrid", "within noise on the held-out queries (p "),
        (False, 0.0, "hybrid", "not better than the current setting on the held-out queries: keep"),
    ],
)
def test_only_what_is_better_is_written(
    built: Path, monkeypatch: pytest.MonkeyPatch, better: bool, gain: float, mode: str, says: str
) -> None:
    (built / "config.yaml").write_text(f"{CONFIG}query: {{mode: {mode}}}\n")
    monkeypatch.setattr(Tuning, "better", better)
    monkeypatch.setattr(Tuning, "gain", gain)
    written = run(built, "tune", *FILES, "--write", "--json")
    assert says in written.stderr
    assert written.exit_code == (0 if better else 4)
    assert ("fusion" in (built / "config.yaml").read_text()) == better
