"""What documents hold can neither command the terminal nor shift what is highlighted; counts agree with nouns."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from pipeline import open_index
from pipeline.cli import cli
from pipeline.cli.logs import PlainLines
from pipeline.render import hit_tables
from pipeline.wording import counted, printable
from tests.faults import stub
from tests.support.collection import config_for, write_documents


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x202E, 0x2066, 0xDC80])
def test_no_control_character_is_left(code: int) -> None:
    (left,) = printable(chr(code))
    assert left in " \ufffd"


def test_what_people_write_stays() -> None:
    text = "café 한국어 עברית 日本語 🧑\u200d🚀 – “quoted” a\u0301"
    assert printable(text) == text


def test_counts() -> None:
    assert [counted(n, "query") for n in (0, 1, 2)] == ["0 queries", "1 query", "2 queries"]
    assert counted(1200, "chunk") == "1,200 chunks"


def test_a_hit_commands_no_terminal_and_its_marks_stand_on_the_word(tmp_path: Path) -> None:
    text = "# Ti\x1b]0;owned\x07tle\n\n\x07\x07\x1b[2J the word fusion stands here\x9b\u202e and on"
    write_documents(tmp_path / "documents", {"a.md": text, "b.md": "nothing of it"})
    (tmp_path / "documents/a.md").rename(tmp_path / "documents/a\x1b[31m.md")
    config = config_for(tmp_path)
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    result = CliRunner().invoke(cli, ["--config", str(tmp_path / "config.yaml"), "build"])
    assert result.exit_code == 0, result.output
    screen = io.StringIO()
    with open_index(config.index_path) as index:
        hits = index.search("fusion", 1)
        assert "\x1b" in hits[0].doc_id  # exact for programs
        hit_tables.hits_table(
            Console(file=screen, force_terminal=True, width=160), "fusion", index, hits, ["a\x07"]
        )
        exact = json.loads(hit_tables.hits_as_json("fusion", None, index, "hybrid", hits))["hits"][0]
    assert exact["text"] == text
    shown = screen.getvalue()
    assert "\x1b[1;33mfusion\x1b[0m" in shown
    for bad in ("\x07", "\x1b[2J", "\x1b]0", "\x1b[31m.md", "\x9b", "\u202e"):
        assert bad not in shown


def test_a_file_name_is_one_line_wherever_it_is_told(tmp_path: Path) -> None:
    name = "bad\x1b[31m\nok: all is well.txt"
    stub.write_texts(tmp_path, 0, 3)
    (tmp_path / "documents" / name).write_bytes(b"\0\1")
    config = tmp_path / "config.yaml"
    config.write_text("index: index\nsources: [{path: documents}]\n")
    result = CliRunner().invoke(cli, ["--config", str(config), "build"], obj=stub.options())
    report = CliRunner().invoke(cli, ["--config", str(config), "report"])
    assert result.exit_code == 3
    assert "rejected documents/bad\ufffd[31m ok: all is well.txt: " in result.stderr
    assert "\x1b" not in report.stdout
    line = PlainLines("%(message)s").format(logging.makeLogRecord({"msg": f"{name}: odd"}))
    assert (line.count("\n"), "\x1b" in line) == (0, False)


def test_an_error_with_a_strange_name_is_one_line() -> None:
    result = CliRunner().invoke(cli, ["status", "--index", "no\x1b[31m\nwhere"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: no\ufffd[31m\\nwhere: no index here")
