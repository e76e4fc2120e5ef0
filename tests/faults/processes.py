"""Run a function in a forked child that may be killed, crash or run into limits: it costs milliseconds."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.errors import PipelineError
from pipeline.index.dense.search import faiss

LIMIT_SECONDS = 120
"""A child that hangs ends with SIGALRM, which no test takes for a good ending."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended. `signal`: what killed it, or `None`; `error`: type and message of what it raised."""

    signal: int | None
    error: str | None

    @property
    def finished(self) -> bool:
        """Whether it did all it was asked to."""
        return self.signal is None and self.error is None

    @property
    def clean(self) -> bool:
        """Whether it finished, or raised an error that the command line turns into one line."""
        return self.signal is None and (self.error is None or self.error.startswith("clean "))


def run(work: Callable[[], object], kill_after: float | None = None) -> Ending:
    """Run `work` in a child; kill it with SIGKILL after so many seconds."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        message = b""
        faiss.omp_set_num_threads(1)
        faiss.omp_set_num_threads = lambda _: None  # OpenMP's teams do not survive a fork
        signal.alarm(LIMIT_SECONDS)
        try:
            work()
        except (PipelineError, OSError, MemoryError) as error:
            message = f"clean {type(error).__name__}: {error}".encode()
        except BaseException:
            message = f"unclean {traceback.format_exc()}".encode()
        finally:
            os.write(writer, message[-60_000:])
            os._exit(0)
    os.close(writer)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader, "rb") as pipe:
        message = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Ending(os.WTERMSIG(status), None)
    return Ending(None, message or None)
