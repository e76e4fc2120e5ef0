"""Files of foreign formats, read in a process beside the builder or its worker, which ends itself at the limit.

It starts with the first such file and reads all of them; lines of JSON go both ways, so nothing is pickled. What
kills it (the limit, a crash in a library, too little memory) costs the document that it was at, and what follows in
the same file. The next file gets a new one. One whose builder dies ends at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any

from pipeline.config import IngestSettings, SourceSettings
from pipeline.errors import SourceError
from pipeline.given import Wanted
from pipeline.ingest.document_fields import from_fields, to_fields
from pipeline.ingest.formats.by_suffix import read_file
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.guard import Found, Guard, ending, refused
from pipeline.ingest.memory import limit_memory
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document

GRACE_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1

Message = dict[str, Any]


class ParserProcess:
    """The builder's side. The process, if one was started, is gone when the context is left."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ParserProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def read(self, file: SourceFile) -> Iterator[Found]:
        """The documents of a file. Raises `UnreadableError`, and `SourceError` if no process can be started."""
        process = self._process or self._start()
        name = {
            "path": str(file.path.absolute()),
            "name": file.name,
            "label": file.label,
            "extra": dict(file.extra),
        }
        wanted = None if file.wanted is None else dataclasses.asdict(file.wanted)
        _send(process.stdin, {**name, "source": file.source.model_dump(mode="json"), "wanted": wanted})
        ended = False
        try:
            while "end" not in (message := self._next(process)):
                if "document" in message:
                    yield Found(message["line"], partial(from_fields, message["document"]))
                elif message["line"]:
                    yield refused(message["line"], UnreadableError(message["reason"]))
                else:
                    failure = UnreadableError(message["reason"])
                    ended = "end" in self._next(process)
                    raise failure
            ended = True
        finally:
            if not ended:  # whatever it would say next is about this file
                self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            raise SourceError(f"no process can be started to parse documents: {error}; free some memory") from error
        levels = {"root": logging.getLogger().level, "pipeline": logging.getLogger("pipeline").level}
        _send(process.stdin, {"settings": self._settings.model_dump(mode="json"), "levels": levels})
        try:
            self._next(process)
        except UnreadableError as error:
            raise SourceError(
                f"no document can be parsed: {error} as it started; what it wrote to standard error says why"
            ) from None
        return process

    def _next(self, process: subprocess.Popen[bytes]) -> Message:
        """What the process says next, its logs passed on. Raises `UnreadableError` if it is dead."""
        assert process.stdout is not None
        while (line := process.stdout.readline()).endswith(b"\n"):
            message: Message = json.loads(line)
            if "log" not in message:
                return message
            logging.getLogger(message["log"]).log(message["level"], "%s", message["text"])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        self._stop()
        raise UnreadableError(self._end(process.returncode))

    def _end(self, code: int) -> str:
        reason = ending(code, self._settings.document_seconds)
        if code < 0 and code not in (-signal.SIGKILL, -signal.SIGALRM) and self._settings.parser_memory_mb:
            limit = f"{self._settings.parser_memory_mb:g}"
            return f"{reason}; libraries end so too beyond ingest.parser_memory_mb={limit}"
        return reason

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in filter(None, (process.stdin, process.stdout)):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _send(stream: IO[bytes] | None, message: Message) -> None:
    """One line. That the other side is gone shows when its answer is read."""
    assert stream is not None
    with contextlib.suppress(BrokenPipeError):
        stream.write(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        stream.flush()


class _LogLines(logging.Handler):
    """Sends what is logged to the builder, which knows where logs go."""

    def __init__(self, answers: IO[bytes], turn: threading.Lock) -> None:
        super().__init__()
        self._answers, self._turn = answers, turn

    def emit(self, record: logging.LogRecord) -> None:
        with self._turn:
            _send(self._answers, {"log": record.name, "level": record.levelno, "text": self.format(record)})


def _serve() -> None:
    """The process's side: settings, then files, one a line; for each file its documents and an end."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the builder ends this process
    _end_with_builder()
    orders: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    turn = threading.Lock()

    def answer(message: Message) -> None:
        with turn:
            _send(answers, message)

    job = json.loads(orders.get())
    settings = IngestSettings.model_validate(job["settings"])
    logging.basicConfig(handlers=[_LogLines(answers, turn)], format="%(message)s", level=job["levels"]["root"])
    logging.getLogger("pipeline").setLevel(job["levels"]["pipeline"])
    limit_memory(settings.parser_memory_mb)
    answer({"ready": True})
    with Guard(settings.document_seconds, kills=True) as guard:
        while True:
            order = json.loads(orders.get().decode("utf-8", "surrogatepass"))
            source = SourceSettings.model_validate(order["source"])
            wanted = None if order["wanted"] is None else Wanted(**order["wanted"])
            name, extra = (order["path"], order["name"], order["label"]), order["extra"]
            file = SourceFile(*name, source, wanted=wanted, extra=extra)
            for outcome in guard.outcomes(file.label, read_file(file, settings)):
                if isinstance(outcome.result, Document):
                    answer({"line": outcome.line, "document": to_fields(outcome.result)})
                else:
                    answer({"line": outcome.line, "reason": str(outcome.result)})
            answer({"end": True})


def _end_with_builder() -> None:
    """Also in the middle of what does not let `_listen` run. Linux alone can do this."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _listen(orders: SimpleQueue[bytes]) -> None:
    with io.FileIO(0, closefd=False) as stream:  # unbuffered: a thread in a locked buffer would abort the exit
        for line in stream:
            orders.put(line)
    os._exit(0)  # the builder is done with this process, or dead


if __name__ == "__main__":
    _serve()
