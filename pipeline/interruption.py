"""SIGTERM and SIGHUP end the command line as Ctrl-C does: by an exception, on which all that is open is closed.

Only the command line listens; a program that calls the library handles its own signals.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_REPEAT_SECONDS = 1.0
"""`timeout` sends its signal to the process and to its group: within so long the second is the same request."""

_raised_at = -math.inf


class Interruption(KeyboardInterrupt):
    """A signal asked this process to end. What lets Ctrl-C through lets it through."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


def listen() -> None:
    """Raise `Interruption` in the main thread on each signal. One that is ignored (`nohup`) stays ignored.

    Changes nothing if called in another thread, where Python lets nobody listen.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _raise)


def stop_listening() -> None:
    """Let the signals end the process at once again: what is left to do is not worth waiting for."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _raise:
            signal.signal(number, signal.SIG_DFL)


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """The signal that was raised as `error`."""
    return error.signal if isinstance(error, Interruption) else signal.SIGINT


def word(error: KeyboardInterrupt) -> str:
    """`interrupted` for Ctrl-C, else `interrupted by SIGTERM`."""
    number = signal_of(error)
    return "interrupted" if number is signal.SIGINT else f"interrupted by {number.name}"


def exit_code(error: KeyboardInterrupt) -> int:
    """What a shell says of a process that the signal ended: 130, 143, 129."""
    return 128 + signal_of(error)


@contextmanager
def withheld() -> Iterator[None]:
    """Keep the signals from processes started inside: they reach a whole group, and whoever starts one ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _raise(number: int, frame: FrameType | None) -> None:
    global _raised_at
    now = time.monotonic()
    if now - _raised_at >= _REPEAT_SECONDS:
        _raised_at = now
        raise Interruption(number)
