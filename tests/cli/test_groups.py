"""`--groups` on the command line: as a reader, as the owner, and what is said where neither is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import refused, run

CONFIG = "index: index\nsources: [{path: documents}]\nencoder: {model: none}\naccess_field: groups\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two documents of two groups."""
    base = tmp_path_factory.mktemp("groups")
    (base / "documents").mkdir()
    lines = [{"_id": group, "text": f"plums of the {group}", "groups": [group]} for group in ("hr", "board")]
    (base / "documents" / "records.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (base / "config.yaml").write_text(CONFIG)
    assert run(base, "build").exit_code == 0
    return base


def found(folder: Path, *arguments: str) -> set[str]:
    """The documents that a command finds."""
    result = run(folder, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return {hit["doc_id"] for hit in json.loads(result.stdout)["hits"]}


def test_a_reader_finds_what_is_of_its_groups(folder: Path) -> None:
    assert found(folder, "query", "plums", "--groups", "hr") == {"hr"}
    assert found(folder, "query", "plums", "--groups", "hr, board") == {"hr", "board"}
    assert found(folder, "query", "plums", "--groups", "hr", "--groups", "board") == {"hr", "board"}
    assert found(folder, "query", "plums", "--all-groups") == {"hr", "board"}
    assert found(folder, "query", "plums", "--index", "index", "--groups", "board") == {"board"}
    assert found(folder, "similar", "--text", "plums", "--groups", "hr") == {"hr"}
    assert "no such document" in run(folder, "similar", "board", "--groups", "hr").stderr


def test_who_gives_no_groups_is_told_why_nothing_is_found(folder: Path) -> None:
    result = run(folder, "query", "plums", "--json")
    assert json.loads(result.stdout)["hits"] == []
    assert "--groups NAME,… as a reader, or --all-groups as the owner" in result.stderr
    assert run(folder, "query", "plums", "--quiet").stderr == ""
    assert run(folder, "query", "plums", "--groups", "hr").stderr == ""
    refused(folder, "query", "plums", "--groups", "hr", "--all-groups", code=2, says="leave --groups out")


def test_judging_sees_everything(folder: Path) -> None:
    (folder / "queries.tsv").write_text("q1\tplums of the board\n")
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tboard\t1\n")
    result = run(folder, "evaluate", "--queries", "queries.tsv", "--qrels", "qrels.tsv", "--json")
    assert result.exit_code == 0, result.output
    assert "1.0" in result.stdout
