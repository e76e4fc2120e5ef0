"""Encoding on several devices: one process for each, which loads its own encoder and writes whole shards itself.

Processes start afresh and are spoken to in lines of JSON, so nothing is pickled, nothing is inherited (no threads,
no CUDA context), and a script that builds needs no `if __name__ == "__main__"`. A process that dies, however it
dies, closes its pipe: that ends the stage with an error. So does one that takes too long for a shard. One whose
builder dies ends at once.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from pipeline import interruption
from pipeline.config import EncoderSettings, SegmentSettings
from pipeline.encode.stage import encode_shard
from pipeline.errors import EncoderError, PipelineError
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.choose.kinds import resolve

log = logging.getLogger(__name__)

_GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pool:
    """`devices`: one process each; a device named twice gets two. `encoder.device` is replaced by each in turn.

    `timeout_seconds`: how long a process may take for one shard, the first time loading its encoder included.
    """

    devices: tuple[str, ...]
    encoder: EncoderSettings
    segments: SegmentSettings
    base: Path = Path()
    batch_tokens: int | None = None
    timeout_seconds: float = 3600.0

    def encode(self, tasks: Sequence[tuple[Path, Path]]) -> Iterator[int]:
        """Encode (part, shard folder) pairs; yields the number of each task when its shard is complete.

        A device gets the next task as soon as it is done with one. Raises `EncoderError` naming the device when a
        process fails, dies or takes too long; by then all the others are stopped, and the shards they finished are
        kept.
        """
        on_cpu = len(self.devices) > 1 and set(self.devices) == {"cpu"}
        if on_cpu and resolve(self.encoder).uses_all_cores:
            log.warning("encode.devices: one process already uses all cores for this encoder; more gain nothing")
        waiting = list(reversed(list(enumerate(tasks))))
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            for device in self.devices[: len(tasks)]:
                worker = stack.enter_context(_started(device))
                worker.send(self._job(device))
                selector.register(worker.answers, selectors.EVENT_READ, worker)
                worker.give(waiting)
            while selector.get_map():
                slowest = min((key.data for key in selector.get_map().values()), key=lambda worker: worker.since)
                left = slowest.since + self.timeout_seconds - time.monotonic()
                ready = selector.select(max(left, 0))
                if not ready and time.monotonic() - slowest.since >= self.timeout_seconds:
                    raise slowest.hangs(self.timeout_seconds)
                for key, _ in ready:
                    worker = key.data
                    yield worker.finished()
                    if not worker.give(waiting):
                        selector.unregister(worker.answers)

    def _job(self, device: str) -> dict[str, Any]:
        return {
            "encoder": {**self.encoder.model_dump(mode="json"), "device": device},
            "segments": self.segments.model_dump(mode="json"),
            "base": str(self.base.absolute()),
            "batch_tokens": self.batch_tokens,
        }


class _Worker:
    """The builder's side of one process."""

    def __init__(self, device: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._device, self._process = device, process
        self._orders: IO[bytes] = process.stdin
        self.answers: IO[bytes] = process.stdout
        self._task = -1
        self.since = time.monotonic()
        """When it got the task that it has."""

    def give(self, waiting: list[tuple[int, tuple[Path, Path]]]) -> bool:
        """Hand over the next task, if there is one."""
        if not waiting:
            return False
        self._task, (part, shard) = waiting.pop()
        self.since = time.monotonic()
        self.send({"part": str(part.absolute()), "shard": str(shard.absolute())})
        return True

    def send(self, message: dict[str, Any]) -> None:
        """One line to the process. That it is gone shows when its answer is read."""
        with contextlib.suppress(BrokenPipeError):
            self._orders.write(json.dumps(message).encode() + b"\n")
            self._orders.flush()

    def finished(self) -> int:
        """Number of the task that is done. Raises `EncoderError` if the process failed or died."""
        line = self.answers.readline()
        if not line.endswith(b"\n"):
            raise EncoderError(f"encode.devices: the process for {self._device} {self._end()}")
        error = json.loads(line)["error"]
        if error is not None:
            raise EncoderError(f"encode.devices: {self._device}: {error}")
        return self._task

    def hangs(self, timeout_seconds: float) -> EncoderError:
        """The error for a process that takes too long; it is killed, since it may not listen any more."""
        self._process.kill()
        return EncoderError(
            f"encode.devices: the process for {self._device} has not finished a shard in {timeout_seconds:g} s and "
            "was killed; if it is only slow, raise encode.timeout_seconds or lower encode.shard_chunks"
        )

    def _end(self) -> str:
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its pipe and does not end"
        if code >= 0:
            return f"ended with exit code {code}; what it wrote to standard error says why"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        cause = "; the system kills a process when memory runs out" if name == "SIGKILL" else ""
        return f"was killed by {name}{cause}"


@contextlib.contextmanager
def _started(device: str) -> Iterator[_Worker]:
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    # -P: no module of the current folder stands in for an installed one
    command = [sys.executable, "-P", "-m", __name__]
    with contextlib.ExitStack() as stack:
        with interruption.withheld():
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
            )
            stack.callback(_stop, process)
        yield _Worker(device, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for stream in filter(None, (process.stdin, process.stdout)):
        with contextlib.suppress(BrokenPipeError):
            stream.close()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serve() -> None:
    """The process's side: an encoder's settings, then tasks, one a line; for each task one line back."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    job = json.loads(lines.get())
    segments = SegmentSettings.model_validate(job["segments"])
    encoder = None
    while True:
        task = json.loads(lines.get())
        error = None
        try:
            if encoder is None:
                settings = EncoderSettings.model_validate(job["encoder"])
                encoder = load_encoder(settings, base=Path(job["base"]), batch_tokens=job["batch_tokens"])
            encode_shard(Path(task["part"]), Path(task["shard"]), encoder, segments)
        except PipelineError as failure:
            error = str(failure)
        answers.write(json.dumps({"error": error}).encode() + b"\n")
        answers.flush()


def _listen(lines: SimpleQueue[bytes]) -> None:
    with io.FileIO(0, closefd=False) as orders:  # unbuffered: a thread in a locked buffer would abort the exit
        for line in orders:
            lines.put(line)
    os._exit(0)  # the builder is done with this process, or dead: in both cases a shard half made is worthless


if __name__ == "__main__":
    _serve()
