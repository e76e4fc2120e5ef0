"""Wrong usage is told before anything is built; Ctrl-C and odd terminals do no harm."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.records import Encoded
from tests.faults import stub
from tests.support.collection import write_documents
from tests.support.command_line import refused, run


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("evaluate", "--beir", "x", "--measure", "nDCGG@10"), "unknown measure 'nDCGG@10'"),
        (("evaluate", "--beir", "x", "--mode", "dens"), "'dens' is not one of"),
        (("evaluate", "--beir", "x", "--fusion", "rff"), "unknown fusion 'rff'; did you mean 'rrf'"),
        (("evaluate", "--beir", "x", "--index", "y"), "--beir brings its own"),
        (("evaluate", "--beir", "x", "--queries", "y", "--qrels", "z"), "--beir brings its own"),
        (("evaluate", "--queries", "y", "--qrels", "z", "--chunk"), "--chunk is for --beir"),
        (("evaluate", "--queries", "y", "--qrels", "z", "--code", "java"), "--code is for --beir"),
        (
            ("evaluate", "--beir", "x", "--code", "cobol"),
            "--code cobol: not known; it is one of auto, none, python",
        ),
        (("evaluate", "--log", "x", "--code", "java"), "--code is for --beir"),
        (("tune", "--beir", "x", "--measure", "nDCGG@10"), "unknown measure 'nDCGG@10'"),
        (("tune", "--beir", "x", "--qrels", "y"), "--beir brings its own"),
        (("status", "--config", "a.yaml"), "a.yaml: no such file"),
        (("--config", "a.yaml", "build"), "a.yaml: no such file"),
        (("status", "--queit"), "No such option: --queit|No such option '--queit'"),
        (("build", "--note", "caf\udce9"), "is not valid UTF-8"),
    ],
)
def test_wrong_usage_is_told_at_once(tmp_path: Path, command: tuple[str, ...], says: str) -> None:
    refused(tmp_path, *command, code=2, says=says)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option", [("--quiet",), ("-q",), ("--verbose",), ("--log-json",), ("--config", "own.yaml")]
)
def test_shared_options_stand_before_a_command_or_after_it(tmp_path: Path, option: tuple[str, ...]) -> None:
    write_documents(tmp_path / "documents")
    for name in ("config.yaml", "own.yaml"):
        (tmp_path / name).write_text(
            f"index: {name}-index\nsources: [{{path: documents}}]\nencoder: {{model: none}}\n"
        )
    commands = [("build", "--full"), ("status",), ("query", "rank fusion", "-k", "2"), ("generations",)]
    for command in commands:
        plain = run(tmp_path, *command)
        before, after = run(tmp_path, *option, *command), run(tmp_path, *command, *option)
        between = run(tmp_path, command[0], *option, *command[1:])
        seen = [_without_numbers(one.stdout + one.stderr) for one in (before, after, between)]
        assert seen[0] == seen[1] == seen[2]
        assert [one.exit_code for one in (before, after, between)] == [plain.exit_code] * 3
    assert (tmp_path / "own.yaml-index").exists() == (option[0] == "--config")


def _without_numbers(text: str) -> str:
    """What differs between two builds of one collection: numbers, times and progress."""
    return re.sub(r"\d+", "0", " ".join(text.split()))


def test_quiet_and_verbose_mean_the_same_wherever_they_stand(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\nencoder: {model: none}\n")
    assert run(tmp_path, "build", "--quiet").output == ""
    assert "INFO pipeline" in run(tmp_path, "build", "--full", "-v").stderr
    lines = run(tmp_path, "--verbose", "build", "--full", "--log-json").stderr.splitlines()
    assert {json.loads(line)["level"] for line in lines} == {"info"}


class Interrupted(stub.HashedEncoder):
    """Ctrl-C comes while it encodes."""

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        raise KeyboardInterrupt

    encode_queries = encode_documents


def test_ctrl_c_says_what_it_interrupted(tmp_path: Path) -> None:
    stub.write_texts(tmp_path, 0)
    stub.build(stub.stub_config(tmp_path))
    stub.write_texts(tmp_path, 1)
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    interrupted = dataclasses.replace(stub.options(), encoder=stub.encoder(Interrupted()))
    result = run(tmp_path, "query", "x", options=interrupted)
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")
    result = run(tmp_path, "build", options=interrupted)
    assert (result.exit_code, result.stderr.startswith("interrupted: the live index is as it was")) == (130, True)


def test_ctrl_c_during_the_imports_prints_no_traceback() -> None:
    script = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'pipeline.cli': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from pipeline.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_verbose_tells_each_stage_and_nothing_of_libraries(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    command = [sys.executable, "-m", "pipeline", "--verbose", "build"]
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr.splitlines()
    assert all(line.startswith("INFO pipeline") for line in lines), lines
    for told in (
        "documents: 6 files found",
        "ingest: 6 docs in",
        "encode: 6 ",
        "write segments: 6 chunk",
        "dense SQfp16",
    ):
        assert sum(told in line for line in lines) == 1, (told, lines)
    assert len(lines) < 12
    assert run(tmp_path, "build").stderr == ""


def test_a_terminal_without_our_letters(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents", {"ko.md": "한국어 – “quoted”"})
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    for command in (["build"], ["report"], ["query", "한국어"], ["status"], ["generations"]):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
