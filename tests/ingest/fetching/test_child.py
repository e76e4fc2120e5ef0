"""A program ends with its whole group, however it is left, and never blocks on what nobody reads."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.ingest.fetching.child import Ended, Program, ending, output_of


def run(command: str | list[str], folder: Path, timeout: float | None = None) -> tuple[bytes, Ended, str | None]:
    program, ended = Program(command, folder, timeout_seconds=timeout), Ended()
    return b"".join(output_of("command: x", program, ended)), ended, ending(ended, program)


def is_gone(pid: int) -> bool:
    """Whether a process that was killed ends within seconds. One that nobody has asked for yet has ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
    return False


def test_output_and_last_words_are_kept_apart(tmp_path: Path) -> None:
    output, ended, wrong = run("echo out; echo first >&2; echo last >&2", tmp_path)
    assert (output, ended.last_words, wrong) == (b"out\n", "first / last", None)


def test_a_flood_on_standard_error_holds_nothing_up(tmp_path: Path) -> None:
    script = "import sys\nfor i in range(40_000): sys.stderr.write('x' * 99 + '\\n')\nprint('done')"
    output, ended, wrong = run([sys.executable, "-c", script], tmp_path)
    assert (output, wrong) == (b"done\n", None)
    assert len(ended.said) <= 16_384
    assert len(ended.last_words) <= 601


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("exit 3", "ended with exit code 3"),
        ("kill -9 $$", "was killed by Killed; the system kills a process when memory runs out"),
        ("kill -TERM $$", "was killed by Terminated"),
    ],
)
def test_how_it_ended_is_said(tmp_path: Path, command: str, says: str) -> None:
    assert run(command, tmp_path)[2] == says


def test_one_that_never_ends_is_ended_with_all_it_started(tmp_path: Path) -> None:
    _, ended, wrong = run("sleep 1000 & echo $! > pid; yes >&2; wait", tmp_path, timeout=0.3)
    assert ended.timed_out
    assert wrong == "took longer than timeout_seconds=0.3 allows, and was ended"
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_one_that_closes_its_output_and_goes_on_is_waited_for(tmp_path: Path) -> None:
    assert run("exec >&- 2>&-; sleep 0.1; exit 4", tmp_path)[2] == "ended with exit code 4"
    assert run("exec >&- 2>&-; sleep 1000", tmp_path, timeout=0.2)[1].timed_out


def test_leaving_off_ends_it(tmp_path: Path) -> None:
    program = Program("trap '' TERM; sleep 1000 & echo $!; wait; while :; do sleep 1; done", tmp_path)
    with closing(output_of("command: x", program, Ended())) as output:
        child = int(next(output))
        os.kill(child, 0)
    assert is_gone(child)


def test_one_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"command: x: cannot be started in .*no such file.*under `sources`"):
        run([os.fspath(tmp_path / "gone")], tmp_path)
