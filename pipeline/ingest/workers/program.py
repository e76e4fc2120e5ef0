"""Where a worker's program runs: a process of this machine, or what another module has for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from pipeline import interruption
from pipeline.errors import SourceError
from pipeline.ingest.guard import ending

GRACE_SECONDS = 5.0
_PIPE_BYTES = 1 << 20
"""So that a worker can go on while the builder writes a part."""
_ONE_THREAD = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Program(Protocol):
    """A program that runs somewhere, takes bytes and answers with bytes."""

    @property
    def answers(self) -> IO[bytes]:
        """What it says: unbuffered, of this process, so that it can be selected; ends when the program does."""

    @property
    def pid(self) -> int:
        """Its number where it runs, 0 if that is not known."""

    @property
    def place(self) -> str:
        """Where it runs, for people; empty if that is not known."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs on another machine."""

    @property
    def has_no_room(self) -> bool:
        """Whether no place was found for it in time. Known once `answers` has ended."""

    @property
    def is_lost(self) -> bool:
        """Whether its place is gone, rather than it alone. Known once `answers` has ended."""

    def send(self, pieces: Sequence[bytes]) -> None:
        """Bytes for it, one after the other. That it is gone is no error."""

    def ending(self, document_seconds: float | None) -> str:
        """How it ended, for people. Ends it if it has not."""

    def stop(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Machines that run programs. `count`: at most so many; `start`: one, of the module with this name."""

    count: int
    start: Callable[[str], Program]


class LocalProgram:
    """A process of this machine."""

    is_elsewhere = False
    has_no_room = False
    is_lost = False

    def __init__(self, module: str) -> None:
        """Start it. Raises `SourceError` if that cannot be done."""
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        try:
            with interruption.withheld():
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", module],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                    env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
                )
        except OSError as error:
            raise SourceError(
                f"no process can be started to read documents: {error}; free memory, or set ingest.processes: 1"
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders: IO[bytes] = self._process.stdin
        self.answers: IO[bytes] = self._process.stdout
        for stream in (self._orders, self.answers):
            if hasattr(fcntl, "F_SETPIPE_SZ"):
                with contextlib.suppress(OSError):
                    fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def place(self) -> str:
        """Its number."""
        return f"process {self.pid}"

    def send(self, pieces: Sequence[bytes]) -> None:
        """As of `Program`."""
        with contextlib.suppress(BrokenPipeError):
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[self._orders.write(view) :]

    def ending(self, document_seconds: float | None) -> str:
        """As of `Program`."""
        return ending(self.code(), document_seconds)

    def code(self) -> int:
        """Its exit code, as `subprocess` has it. Ends it if it has not."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        self.stop()
        return self._process.returncode

    def stop(self) -> None:
        """As of `Program`."""
        self._process.kill()
        self._process.wait()
        for stream in (self._orders, self.answers):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
