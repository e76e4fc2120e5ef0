"""Programs that read and cut documents, on workers of Ray: an actor holds each and carries its bytes.

What runs is the program that runs beside a local build, so limits, alarms and crashes are those of one.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Sequence
from typing import IO, Any

from pipeline.ingest.guard import ending
from pipeline.ingest.workers.program import LocalProgram

_BEAT = 5.0
"""So often, in seconds, an actor says that it is there."""
_SILENT_SECONDS = 60.0
"""So long without that, and it is given up."""
_READ_BYTES = 1 << 20
_ORDERS, _ANSWERS = "orders", "answers"


class Reader:
    """What runs on a worker."""

    def __init__(self, module: str) -> None:
        self._program = LocalProgram(module)

    def place(self) -> str:
        """The machine, and the number of the process."""
        return f"{socket.gethostname()}:{self._program.pid}"

    def send(self, data: bytes) -> None:
        """Bytes for the process."""
        self._program.send([data])

    def hear(self) -> bytes | int:
        """What the process says next, nothing if it is silent; its exit code when it has ended."""
        ready, _, _ = select.select([self._program.answers], [], [], _BEAT)
        if not ready:
            return b""
        return self._program.answers.read(_READ_BYTES) or self._program.code()


class RayProgram:
    """The build's side of a `Reader`: a thread carries what it says into a pipe of this process."""

    is_elsewhere = True
    pid = 0

    def __init__(self, ray: Any, module: str, start_seconds: float) -> None:
        self._ray, self._start_seconds = ray, start_seconds
        self._code: int | None = None
        self._reason = "its worker was ended"
        self.place, self.has_no_room = "", False
        options = {"num_cpus": 1, "max_restarts": 0, "concurrency_groups": {_ORDERS: 1, _ANSWERS: 1}}
        self._actor = ray.remote(**options)(Reader).remote(module)
        reading, writing = os.pipe()
        self.answers: IO[bytes] = os.fdopen(reading, "rb", buffering=0)
        self._thread = threading.Thread(target=self._carry, args=(writing,), daemon=True)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether the actor or its machine is gone, rather than the process alone."""
        return self._code is None

    def send(self, pieces: Sequence[bytes]) -> None:
        """As of `Program`. Waits for nothing: a worker has no more than a few jobs."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._actor.send.options(concurrency_group=_ORDERS).remote(b"".join(pieces))

    def ending(self, document_seconds: float | None) -> str:
        """As of `Program`."""
        code, reason = self._code, self._reason
        self.stop()
        return reason if code is None else ending(code, document_seconds)

    def stop(self) -> None:
        """As of `Program`."""
        self._ray.kill(self._actor)
        self.answers.close()

    def _carry(self, writing: int) -> None:
        # The end of the pipe is what the build hears: why it ends has to be known by then.
        with contextlib.suppress(OSError, ValueError), os.fdopen(writing, "wb", buffering=0) as pipe:
            try:
                self._listen(pipe)
            except self._ray.exceptions.GetTimeoutError:
                self._note_silence()
            except (self._ray.exceptions.RayError, TypeError) as error:
                lines = [line.strip() for line in str(error).splitlines() if line.strip()]
                last = (lines or [""])[-1][:200]
                self._reason = f"its worker or the machine died ({type(error).__name__}: {last})"

    def _listen(self, pipe: IO[bytes]) -> None:
        """Carry what the process says, until it ends. Raises `OSError` or `ValueError` if nobody listens."""
        self.place = str(self._said("place", self._start_seconds))
        while self._code is None:
            said = self._said("hear", _SILENT_SECONDS)
            if isinstance(said, int):
                self._code = said
            elif not isinstance(said, bytes):
                raise TypeError(f"its worker said {type(said).__name__}")
            view = memoryview(said if isinstance(said, bytes) else b"")
            while view:
                view = view[pipe.write(view) :]

    def _note_silence(self) -> None:
        if self.place:
            self._reason = f"its worker was silent for {_SILENT_SECONDS:g} s"
            return
        self.has_no_room = True
        self._reason = (
            f"no worker was there for {self._start_seconds:g} s (cluster.start_seconds; is there a CPU for one?)"
        )

    def _said(self, method: str, seconds: float) -> Any:
        call = getattr(self._actor, method).options(concurrency_group=_ANSWERS)
        return self._ray.get(call.remote(), timeout=seconds)
