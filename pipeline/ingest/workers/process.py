"""The builder's side of one worker process: how it starts, what it is asked, and how it ended."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipeline import interruption
from pipeline.config import IngestSettings
from pipeline.errors import SourceError
from pipeline.ingest.guard import ending
from pipeline.ingest.workers.jobs import Job, Result
from pipeline.ingest.workers.messages import Message, packed, received

GRACE_SECONDS = 5.0
_PIPE_BYTES = 1 << 20
"""So that a worker can go on while the builder writes a part."""
_ONE_THREAD = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What every worker needs to know.

    `module`: run as a program, calls `serve` with what makes a chunker of `chunker`. `live`: the keys of documents
    that need not be cut.
    """

    module: str
    chunker: Mapping[str, Any]
    settings: IngestSettings
    live: bytes = b""

    def message(self) -> Message:
        """What a worker is told first."""
        levels = {"root": logging.getLogger().level, "pipeline": logging.getLogger("pipeline").level}
        settings = self.settings.model_dump(mode="json")
        return Message({"chunker": dict(self.chunker), "settings": settings, "levels": levels}, self.live)


class Ticket:
    """A job that was handed in, and its result once it is there. `deaths`: of workers that had begun none of it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.result: Result | None = None
        self.begun: tuple[int, int] | None = None
        self.deaths = 0


class WorkerProcess:
    """One process. `tickets`: what it was given and has not answered, in that order."""

    def __init__(self, setup: WorkerSetup) -> None:
        """Start it. Raises `SourceError` if that cannot be done."""
        self._setup = setup
        self.tickets: deque[Ticket] = deque()
        self.ready: list[Any] | None = None
        """The fields of its chunker's fingerprint, once it has said so."""
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        try:
            with interruption.withheld():
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", setup.module],
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
        self._send(setup.message())

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def give(self, ticket: Ticket) -> None:
        """Hand over a job. That the process is gone shows when its answer is read."""
        self.tickets.append(ticket)
        self._send(ticket.job.message())

    def hear(self) -> Message | None:
        """What it says next, its logs passed on; `None` if it is dead."""
        while (message := received(self.answers.read)) is not None and "log" in message.head:
            logging.getLogger(message.head["log"]).log(message.head["level"], "%s", message.head["text"])
        return message

    def ending(self) -> str:
        """How it ended, for people."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        self.stop()
        return ending(self._process.returncode, self._setup.settings.document_seconds)

    def stop(self) -> None:
        """End it. It has nothing that is worth waiting for."""
        self._process.kill()
        self._process.wait()
        for stream in (self._orders, self.answers):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _send(self, message: Message) -> None:
        with contextlib.suppress(BrokenPipeError):
            for piece in packed(message):
                view = memoryview(piece)
                while view:
                    view = view[self._orders.write(view) :]
