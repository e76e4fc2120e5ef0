"""Calls into a library that heeds no signal, made in a thread of their own, so that no signal waits for them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

Answer = TypeVar("Answer")

_LEAVE_SECONDS = 1.0
"""How long a call that was cancelled is waited for."""
_AGAIN_SECONDS = 0.05
_LOOK_SECONDS = 0.2
"""How often the caller looks up: a signal that comes just before it waits does not end the wait."""


class Aside:
    """One thread, in which one call is made after the other, while the caller's can be interrupted. A context.

    A call that does not end when it is cancelled is left to itself: nothing may be called in the thread any more,
    and whatever it uses stays open until it ends, at the latest with the process.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)
        self._is_left = False

    def __enter__(self) -> Aside:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls.put(None)
        if not self._is_left:
            self._thread.join()

    def call(self, function: Callable[[], Answer], cancel: Callable[[], object] | None = None) -> Answer:
        """What the function returns; raises what it raises. `cancel`: ends it from another thread, if that can be
        done; called when this one is interrupted."""
        try:
            self._calls.put(function)
            answer, error = self._awaited()
        except BaseException:
            self._leave(cancel)
            raise
        if error is not None:
            raise error
        result: Answer = answer
        return result

    def _awaited(self) -> tuple[Any, BaseException | None]:
        while True:
            with contextlib.suppress(Empty):
                return self._outcomes.get(timeout=_LOOK_SECONDS)

    def tidy(self, function: Callable[[], object]) -> None:
        """Call what closes something, unless a call was left to itself, which may use it still."""
        if not self._is_left:
            self.call(function)

    def _leave(self, cancel: Callable[[], object] | None) -> None:
        """Cancel the call under way again and again, since it may not yet have come to where that counts."""
        self._is_left = True
        if cancel is None:
            return
        deadline, ended = time.monotonic() + _LEAVE_SECONDS, threading.Event()

        def again() -> None:  # in a thread: PostgreSQL is told by a new connection, which may hang as well
            while not ended.is_set():
                with contextlib.suppress(Exception):
                    cancel()
                ended.wait(_AGAIN_SECONDS)

        canceller = threading.Thread(target=again, name="cancel-query", daemon=True)
        canceller.start()
        try:
            self._outcomes.get(timeout=_LEAVE_SECONDS)
        except Empty:
            return
        finally:
            ended.set()
        canceller.join(max(0.0, deadline - time.monotonic()))
        self._is_left = canceller.is_alive()

    def _run(self) -> None:
        while (function := self._calls.get()) is not None:
            try:
                outcome: tuple[Any, BaseException | None] = (function(), None)
            except BaseException as error:
                outcome = (None, error)
            self._outcomes.put(outcome)
            del function, outcome
