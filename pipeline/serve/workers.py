"""The threads that answer: so many at once, so many waiting, and nobody longer than a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline.serve.metrics import Metrics
from pipeline.serve.problems import Problem

T = TypeVar("T")

_WEIGHT = 0.1
"""How much the last request counts in the mean time of requests."""


class Workers:
    """Runs functions in threads, for one event loop.

    A function that takes longer than the limit goes on, since a thread cannot be stopped, and keeps its thread
    until it is done: so there are never more at work than threads.
    """

    def __init__(self, threads: int, queue: int, seconds: float, metrics: Metrics) -> None:
        """`queue`: how many may wait for a thread. `seconds`: the time limit, waiting included."""
        self._threads, self._room, self._seconds, self._metrics = threads, threads + queue, seconds, metrics
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="serve")
        self._taken = 0
        self._mean = 0.1
        metrics.in_flight.set_function(lambda: self._taken)

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Raises `Problem`: 429 if there is no room, 504 if it takes too long."""
        if self._taken >= self._room:
            self._metrics.rejected.labels("queue").inc()
            wait = math.ceil(max(self._mean * self._taken / self._threads, 1.0))
            raise Problem(
                429, "too many requests wait already; come again later", headers={"Retry-After": str(wait)}
            )
        self._taken += 1
        asked, loop = time.perf_counter(), asyncio.get_running_loop()
        task = self._pool.submit(contextvars.copy_context().run, self._timed, work, asked)
        task.add_done_callback(lambda _: self._tell(loop, asked))
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(asyncio.wrap_future(task))
        except TimeoutError:
            task.cancel()  # if it has not begun, it never will
            self._metrics.rejected.labels("timeout").inc()
            raise Problem(504, f"took longer than {self._seconds:g} s") from None

    def _tell(self, loop: asyncio.AbstractEventLoop, asked: float) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(self._done, time.perf_counter() - asked)

    def _timed(self, work: Callable[[], T], asked: float) -> T:
        self._metrics.stage.labels("wait").observe(time.perf_counter() - asked)
        return work()

    def _done(self, seconds: float) -> None:
        self._taken -= 1
        self._mean += _WEIGHT * (seconds - self._mean)

    def close(self) -> None:
        """Wait for what runs, and take nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
