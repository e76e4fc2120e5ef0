"""A program whose output is spooled: its whole group ends with the build, and what it says in the end is kept."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import SourceError

_BLOCK = 1 << 18
_TAIL_BYTES = 16_384
_SHOWN_LINES = 5
_SHOWN_CHARS = 600
_GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: arguments, or a text for the shell; where; how long at most."""

    arguments: str | Sequence[str]
    folder: Path
    environment: Mapping[str, str] | None = None
    timeout_seconds: float | None = None


@dataclass(slots=True)
class Ended:
    """How a program ended. `code`: as `subprocess` has it; `timed_out`: it was ended; `said`: the last of what it
    wrote to standard error."""

    code: int = 0
    timed_out: bool = False
    said: bytes = field(default=b"", repr=False)

    @property
    def last_words(self) -> str:
        """The last lines of standard error, on one line."""
        text = self.said.decode("utf-8", "replace")
        lines = [" ".join(line.split()) for line in text.splitlines()]
        shown = " / ".join([line for line in lines if line][-_SHOWN_LINES:])
        return shown if len(shown) <= _SHOWN_CHARS else f"…{shown[-_SHOWN_CHARS:]}"


def output_of(label: str, program: Program, ended: Ended) -> Generator[bytes, None, None]:
    """What a program writes to standard output, block by block; `ended` is filled in behind the last one.

    The program ends when the generator is closed. Raises `SourceError` if it cannot be started.
    """
    process = _started(label, program)
    try:
        yield from _blocks(process, program.timeout_seconds, ended)
        ended.code = process.returncode
    finally:
        _end(process)


def _started(label: str, program: Program) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            program.arguments if isinstance(program.arguments, str) else list(program.arguments),
            shell=isinstance(program.arguments, str),
            cwd=program.folder,
            env=None if program.environment is None else dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        what = (error.strerror or type(error).__name__).lower()
        raise SourceError(
            f"{label}: cannot be started in {program.folder}: {what}; correct it under `sources`"
        ) from None


def ending(ended: Ended, program: Program) -> str | None:
    """What is wrong with the way it ended, `None` if nothing is."""
    if ended.timed_out:
        return f"took longer than timeout_seconds={program.timeout_seconds:g} allows, and was ended"
    if ended.code < 0:
        cause = "; the system kills a process when memory runs out" if ended.code == -signal.SIGKILL else ""
        return f"was killed by {signal.strsignal(-ended.code) or -ended.code}{cause}"
    return f"ended with exit code {ended.code}" if ended.code else None


def _blocks(process: subprocess.Popen[bytes], timeout: float | None, ended: Ended) -> Iterator[bytes]:
    """Standard output, until both outputs are closed and the process has ended, or the time is up."""
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = None if timeout is None else time.monotonic() + timeout
    output = process.stdout.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        selector.register(process.stderr.fileno(), selectors.EVENT_READ)
        while selector.get_map():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                ended.timed_out = True
                return
            for key, _ in selector.select(left):
                block = os.read(key.fd, _BLOCK)
                if not block:
                    selector.unregister(key.fd)
                elif key.fd == output:
                    yield block
                else:
                    ended.said = (ended.said + block)[-_TAIL_BYTES:]
    try:
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        ended.timed_out = True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it has started: politely, then at once."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
    _signal(process, signal.SIGKILL)  # what it has left in its group, too
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
