"""What several threads share, and what a forked child must have of its own.

A child of `fork` gets the parent's memory and one of its threads: a lock that another thread held stays locked
there, and a pool of threads has none. So what threads share is made of these, which a child finds new.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from pipeline.errors import EncoderError

T = TypeVar("T")

_forks = 0
"""How many forks lie between this process and the one that imported this module first."""


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)


class Lock:
    """A lock that its holder may take again, and that is free in a forked child."""

    def __init__(self) -> None:
        self._locks: dict[int, Any] = {}

    def _own(self) -> Any:
        own = self._locks.get(_forks)
        return self._locks.setdefault(_forks, threading.RLock()) if own is None else own

    def __enter__(self) -> None:
        self._own().acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._own().release()


class PerProcess(Generic[T]):
    """A value that is made when it is first asked for, once in each process."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}  # the parent's is kept: freeing it would wait for threads that are not here
        self._lock = Lock()

    def get(self) -> T:
        """The value of this process."""
        if (found := self._made.get(_forks)) is not None:
            return found
        with self._lock:
            if _forks not in self._made:
                self._made[_forks] = self._make()
            return self._made[_forks]

    def made(self) -> T | None:
        """The value of this process, `None` if nobody has asked for it."""
        return self._made.get(_forks)


class InBackground(Generic[T]):
    """A value that takes long to make, and that work can be done without: made once, in a thread of its own, when
    much was done without it. A child forked while it is made never has it."""

    def __init__(self, make: Callable[[], T | None], name: str, warranted: int) -> None:
        """`make`: gives `None` where it cannot be had. `name`: of the thread. `warranted`: when work is much."""
        self._make, self._name, self._warranted = make, name, warranted
        self._work = 0
        self._made: T | None = None
        self._thread: threading.Thread | None = None
        self._lock = Lock()

    def made(self) -> T | None:
        """The value if it is ready."""
        return self._made

    def count(self, work: int) -> None:
        """Note work done without it; begins to make it when that becomes worth while."""
        self._work += work
        if self._work >= self._warranted and self._thread is None:
            self.begin()

    def begin(self) -> threading.Thread:
        """Begin to make it, in the thread that is returned."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name=self._name, daemon=True)
                self._thread.start()
            return self._thread

    def wait(self) -> T | None:
        """Make it now and wait for it."""
        self.begin().join()
        return self._made

    def _keep(self) -> None:
        self._made = self._make()


class shared_property(Generic[T]):  # noqa: N801 - reads as `property` does
    """A property computed once, by the first thread that asks, while others wait for it."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> shared_property[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> shared_property[T] | T:
        if instance is None:
            return self
        values = instance.__dict__
        lock: Lock = values.setdefault(f"{self._name}: lock", Lock())
        with lock:
            if self._name not in values:
                values[self._name] = self._compute(instance)
            value: T = values[self._name]
        return value


class ThreadsOf:
    """The threads that a native library keeps once it has computed: a forked child would wait for them for ever."""

    def __init__(self, library: str) -> None:
        self._library = library
        self._started: int | None = None

    def needed(self) -> None:
        """Say that the library computes now. Raises `EncoderError` in a child whose parent let it compute."""
        if self._started is None:
            self._started = _forks
        elif self._started != _forks:
            raise EncoderError(
                f"{self._library} computed before this process was forked, and cannot do so here; "
                "fork before the first search or build, or start workers with the method `spawn`"
            )
