"""Boosts, sections, groups, highlights and suggestions on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.collection import TEXTS, write_documents
from tests.support.command_line import refused, run


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searches")
    new = {"en/new.md": "---\nupdated: 2026-01-01\n---\nNews about ranks.", "en/old.md": "Nothing else but ranks."}
    write_documents(folder / "documents", {**TEXTS, **new})
    (folder / "config.yaml").write_text("index: index\nsources: [{path: documents}]\nencoder: {model: none}\n")
    assert run(folder, "build").exit_code == 0
    return folder


def record(folder: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(folder, "query", *arguments, "--json").stdout)
    return found


def test_a_boost_lifts_and_is_explained(built: Path) -> None:
    boost = "2 if doc_id = 'en/old.md'"
    plain = {hit["doc_id"]: hit["score"] for hit in record(built, "ranks")["hits"]}
    hits = record(built, "ranks", "--boost", boost, "--explain")["hits"]
    assert hits[0]["doc_id"] == "en/old.md"
    assert hits[0]["boosts"] == [{"boost": boost, "factor": 2.0}]
    assert hits[0]["score"] == pytest.approx(2 * plain["en/old.md"])
    assert f"boost: {boost} × 2.0000" in " ".join(
        run(built, "query", "ranks", "--boost", boost, "--explain").output.split()
    )
    refused(built, "query", "ranks", "--boost", "often", code=1, says="boosts: 'often' is no boost")
    assert record(built, "ranks", "--boost", "none") == record(built, "ranks")


def test_highlights_and_groups_are_in_json(built: Path) -> None:
    for hit in record(built, "ranks", "--highlights", "--group", "doc_id", "--group-size", "2")["hits"]:
        assert {hit["text"][start:end].lower() for start, end in hit["highlight"]["spans"]} <= {"rank", "ranks"}
    assert "highlight" not in record(built, "ranks")["hits"][0]
    refused(built, "query", "x", "--merge", "--collapse", code=1, says="merge and collapse exclude each other")


def test_a_word_that_is_not_there_is_told_with_near_ones(built: Path) -> None:
    assert "no chunk has fuson; did you mean fusion?" in run(built, "query", "fuson").output
    near = {"word": "fuson", "start": 0, "end": 5, "near": ["fusion"]}
    assert record(built, "fuson", "--suggest")["suggestions"] == [near]
    assert "suggestions" not in record(built, "fuson")
