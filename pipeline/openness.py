"""Whether something is open, and who is still using it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from pipeline.errors import QueryError
from pipeline.forking import Lock, PerProcess

P = ParamSpec("P")
R = TypeVar("R")
Opened = TypeVar("Opened", bound="Closable")


class Closable:
    """What is open until it is closed: `_open` knows."""

    _open: Openness


def while_open(method: Callable[Concatenate[Opened, P], R]) -> Callable[Concatenate[Opened, P], R]:
    """A method that a closed object refuses, and that ends well if others close the object meanwhile."""

    @functools.wraps(method)
    def entered(opened: Opened, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with opened._open:
            return method(opened, *args, **kwargs)

    return entered


class Openness:
    """Open until `close`. `with` it, work goes on to its end, although others close it meanwhile.

    `release` is called once nobody is at work: by `close`, or by the last to end its work after it.
    """

    def __init__(self, refusal: str, release: Callable[[], None]) -> None:
        """`refusal`: the message of the `QueryError` for those who come after `close`."""
        self._refusal, self._release = refusal, release
        self._closed = False
        self._lock = Lock()
        self._depths: PerProcess[dict[int, int]] = PerProcess(dict)
        """For each thread at work, how often it has entered: what it calls on its way may enter again."""

    def __enter__(self) -> None:
        thread = threading.get_ident()
        with self._lock:
            depths = self._depths.get()
            if self._closed and thread not in depths:
                raise QueryError(self._refusal)
            depths[thread] = depths.get(thread, 0) + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread = threading.get_ident()
        with self._lock:
            depths = self._depths.get()
            depths[thread] -= 1
            if not depths[thread]:
                del depths[thread]
            last = self._closed and not depths
        if last:
            self._release()

    def close(self) -> None:
        """Let nobody in any more. A second call does nothing."""
        with self._lock:
            at_once = not self._closed and not self._depths.get()
            self._closed = True
        if at_once:
            self._release()
