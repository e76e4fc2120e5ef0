"""A program that runs here: what goes in, what comes out, how it ended."""

from __future__ import annotations

from pipeline.ingest.workers.program import LocalProgram

MODULE = "tests.ingest.workers.deadly"


def test_a_program_that_cannot_start_its_work_has_an_exit_code_and_is_not_lost() -> None:
    program = LocalProgram("tests.no_such_module")
    assert program.answers.read(1) == b""
    assert program.ending(2.0) == "the process that parsed it ended with exit code 1"
    assert not program.is_lost


def test_a_program_ends_when_it_is_stopped_and_takes_bytes_no_more() -> None:
    program = LocalProgram(MODULE)
    program.stop()
    assert program.code() == -9
    assert program.answers.closed
