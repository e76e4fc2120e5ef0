"""The boundary around one document: what becomes a rejection, what passes, and when the alarm rings."""

from __future__ import annotations

import errno
import logging
import signal
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from pipeline.errors import ConfigError, IndexStoreError
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.guard import Guard, TimeUpError
from tests.ingest.conftest import forever, outcomes


class NamelessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("worse")


PanicException = type("PanicException", (BaseException,), {})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("by zero\nand more"), "ZeroDivisionError: by zero"),
        (KeyError("name"), "KeyError: 'name'"),
        (StopIteration(), "StopIteration"),
        (OSError(errno.EIO, "Input/output error"), "input/output error"),
        (OSError("of a library"), "OSError: of a library"),
        (MemoryError(), "not enough memory to read it"),
        (RecursionError("deep"), "nested too deeply"),
        (NamelessError(), "NamelessError"),
        (ExceptionGroup("many", [ValueError()]), "ExceptionGroup: many (1 sub-exception)"),
        (PanicException("of Rust"), "PanicException: of Rust"),
    ],
)
def test_whatever_is_raised_is_a_reason_and_a_line_of_the_log(
    error: BaseException, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    def raises() -> NoReturn:
        raise error

    caplog.set_level(logging.DEBUG, "pipeline")
    with pytest.raises(UnreadableError) as caught:
        Guard(None).run(lambda: "a.jsonl:3", raises)
    assert str(caught.value) == reason
    line, trace = caplog.records
    assert (line.levelno, line.getMessage()) == (
        logging.INFO,
        f"a.jsonl:3: rejected ({type(error).__name__}): {reason}",
    )
    assert trace.levelno == logging.DEBUG
    assert trace.exc_info


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ConfigError, IndexStoreError])
def test_what_is_about_the_build_passes(error: type[BaseException]) -> None:
    def raises() -> NoReturn:
        raise error("about the build")

    with pytest.raises(error, match="about the build"):
        Guard(None).run(str, raises)


def test_an_alarm_that_python_swallows_rings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.ingest.guard.REPEAT_SECONDS", 0.05)
    swallowed = []

    def deaf() -> NoReturn:
        try:
            forever()
        except TimeUpError:
            swallowed.append(True)
        forever()

    with Guard(0.05) as guard, pytest.raises(UnreadableError, match=r"document_seconds=0\.05"):
        guard.run(lambda: "deaf", deaf)
    assert swallowed


@pytest.mark.parametrize("seconds", [0, None])
def test_no_limit_sets_no_alarm(seconds: float | None) -> None:
    with Guard(seconds) as guard:
        assert guard.run(str, lambda: signal.getitimer(signal.ITIMER_REAL)) == (0.0, 0.0)


def test_an_alarm_of_the_program_around_rings_all_the_same() -> None:
    rung = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: rung.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with Guard(60) as guard:
            guard.run(str, lambda: None)
            assert rung.wait(60)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_log_tells_where_a_value_of_front_matter_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.md").write_text("---\nx: !!bool foo\n---\ntext")
    caplog.set_level(logging.DEBUG, "pipeline")
    (outcome,) = outcomes(tmp_path / "bad.md")
    line, trace = caplog.records
    assert line.getMessage() == f"bad.md: rejected (KeyError): {outcome.result}"
    assert "construct_yaml_bool" in logging.Formatter().format(trace)
