"""The boundary around one document: what reading or cutting it raises is its rejection, and so is taking too long.

Only the work on a document runs inside. What is done with the result, such as writing it, never does, so a full
disk is not taken for a broken document. What passes through is meant for the build: a `PipelineError` other than
`UnreadableError`, and what is no `Exception` (Ctrl-C, an exit).
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, NoReturn, TypeVar

import pyarrow as pa

from pipeline.errors import PipelineError
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.sources import describe_os_error
from pipeline.records import Document

log = logging.getLogger(__name__)

REPEAT_SECONDS = 1.0
"""How soon an alarm rings again: the first may be swallowed where Python drops exceptions, as in `__del__`."""

REASON_CHARS = 400

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """A document that a reader came to: its line (or row, from 1; 0 for a whole file) and what makes it."""

    line: int
    build: Callable[[], Document]


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """Some rows of a table of `CHUNK_SCHEMA`."""

    table: pa.Table
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class CutDocument:
    """A document that a worker has read. `chunks`: what it was cut into, or why it cannot be cut; `None` if the
    live generation has it as it is."""

    doc_id: str
    content_hash: str
    chunks: ChunkRows | UnreadableError | None
    source: str = ""
    line: int | None = None


ReadDocument = Document | CutDocument


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document; with line 0 and an error, of the rest of its file."""

    line: int
    result: ReadDocument | UnreadableError


class TimeUpError(BaseException):
    """The limit has passed. No `Exception`, so that no parser takes it for one of its own."""


class Guard:
    """Runs the work on one document at a time, with a limit of `seconds` each; 0 or `None` is no limit.

    The limit is an alarm of the system, which rings in the main thread alone: entered in another thread, a guard
    sets none. It ends Python code; with `kills` it ends the whole process, foreign code included.
    """

    def __init__(self, seconds: float | None, kills: bool = False) -> None:
        self._seconds = seconds or 0.0
        self._kills = kills
        self._installed = self._armed = False
        self._earlier: Any = None

    def __enter__(self) -> Guard:
        if self._seconds and threading.current_thread() is threading.main_thread():
            self._earlier = signal.signal(signal.SIGALRM, signal.SIG_DFL if self._kills else self._ring)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            self._installed = False
            # An alarm may still be on its way to another thread: ignored, it is gone; the default would kill.
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            signal.signal(signal.SIGALRM, signal.SIG_DFL if self._earlier is None else self._earlier)

    def run(self, place: Callable[[], str], work: Callable[[], T]) -> T:
        """Do the work and return its result. Raises `UnreadableError` with a reason for what it raises.

        `place` names the document, for the log.
        """
        try:
            return self._in_time(work)
        except UnreadableError as error:
            if error.__cause__ is not None:
                _log(place(), str(error), error.__cause__)
            raise
        except PipelineError:
            raise
        except TimeUpError:
            raise UnreadableError(time_reason(self._seconds)) from None
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # Rust gives up so
                raise
            reason = _reason(error)
            _log(place(), reason, error)
            raise UnreadableError(reason) from error

    def outcomes(self, label: str, read: Iterator[Found]) -> Iterator[Outcome]:
        """What becomes of each document that `read` finds in the file `label`; the limit is for each."""
        line: int | None = None
        last = 0

        def place() -> str:
            return f"{label}:{line or last}" if line or last else label

        def step() -> Document | None:
            nonlocal line
            line = None
            found = next(read, None)
            if found is None:
                return None
            line = found.line
            return found.build()

        while True:
            try:
                result: Document | UnreadableError | None = self.run(place, step)
            except UnreadableError as error:
                result = error
            if result is None:
                return
            if line is None:  # the reader itself failed, and has ended
                rest = f" (nothing behind {last} is read)" if last else ""
                yield Outcome(0, UnreadableError(f"{result}{rest}"))
                return
            yield Outcome(line, result)
            last = line

    def _in_time(self, work: Callable[[], T]) -> T:
        if not self._installed:
            return work()
        earlier, started = (0.0, 0.0), time.monotonic()
        try:
            try:
                self._armed = True
                earlier = signal.setitimer(signal.ITIMER_REAL, self._seconds, REPEAT_SECONDS)
                return work()
            finally:
                self._armed = False
        finally:
            self._armed = False  # the alarm may have rung in the line above, before it was done
            left = max(earlier[0] - (time.monotonic() - started), 1e-6) if earlier[0] else 0.0
            signal.setitimer(signal.ITIMER_REAL, left, earlier[1])

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self._armed:
            raise TimeUpError
        if callable(self._earlier):  # an alarm of the program that this library runs in
            self._earlier(number, frame)


def refused(line: int, error: Exception) -> Found:
    """A record that cannot be read, after which its file goes on."""

    def build() -> NoReturn:
        raise error

    return Found(line, build)


def time_reason(seconds: float) -> str:
    """Why a document is rejected that took too long."""
    return f"takes longer than ingest.document_seconds={seconds:g} allows; raise it, or make the document smaller"


def ending(code: int, document_seconds: float | None) -> str:
    """Why a document is rejected whose process ended with this code, as `subprocess` has it."""
    if code == -signal.SIGALRM and document_seconds:
        return time_reason(document_seconds)
    if code >= 0:
        return f"the process that parsed it ended with exit code {code}"
    cause = "; the system kills a process when memory runs out" if code == -signal.SIGKILL else ""
    return f"the process that parsed it was killed by {signal.strsignal(-code) or -code}{cause}"


def one_line(reason: str) -> str:
    """`reason` on one line of at most `REASON_CHARS`."""
    line = " ".join(reason.split())
    return line if len(line) <= REASON_CHARS else line[: REASON_CHARS - 1] + "…"


def _log(place: str, reason: str, error: BaseException) -> None:
    log.info("%s: rejected (%s): %s", place, type(error).__name__, reason)
    log.debug("%s: where it was raised", place, exc_info=error)


def _reason(error: BaseException) -> str:
    name = type(error).__name__
    try:
        if isinstance(error, MemoryError):
            return "not enough memory to read it"
        if isinstance(error, RecursionError):
            return "nested too deeply"
        if isinstance(error, OSError) and error.errno is not None:
            return describe_os_error(error)
        message = first_line(error)
    except Exception:  # its `__str__` is as broken as the document
        return name
    return name if message == name else f"{name}: {message}"
