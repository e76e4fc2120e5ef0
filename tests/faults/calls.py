"""Every call that changes the disk, counted, so that a test can act at the n-th: kill, fail, or record."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Action = Callable[[int, str], None]
"""Called before call number n (from 0) of this name."""

NAMES = ("fsync", "rename", "link", "unlink", "rmdir", "mkdir", "ftruncate", "pwrite")


class _Writes(io.FileIO):
    """An unbuffered file whose writes are counted."""

    before: Callable[[str], None]

    def write(self, data: Any) -> int:
        self.before("write")
        return super().write(data)


@contextmanager
def watched(action: Action) -> Iterator[list[str]]:
    """`action` runs before each call from Python; the list grows by the names of the calls made."""
    made: list[str] = []

    def before(name: str) -> None:
        made.append(name)
        action(len(made) - 1, name)

    def wrap(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            before(name)
            return original(*arguments, **options)

        return call

    original_open = io.open

    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "b" not in mode or not set(mode) & set("wxa+"):
            return original_open(file, mode, *arguments, **options)
        raw = _Writes(file, mode.replace("b", ""))
        raw.before = before
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.setattr(os, name, wrap(name))
        patch.setattr(io, "open", opened)
        patch.setattr("builtins.open", opened)
        yield made


def killing(at: int, seconds: float = 0) -> Action:
    """SIGKILL before call `at`, or so many seconds later, wherever the process is by then."""

    def act(number: int, name: str) -> None:
        if number == at and seconds:
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def failing(at: int, error: int, lasting: bool = False) -> Action:
    """`OSError(error)` at call `at`, and at all later ones that need space if `lasting`."""

    def act(number: int, name: str) -> None:
        needs_space = name in ("write", "fsync", "mkdir", "link", "pwrite", "rename")
        if number == at or (lasting and number > at and needs_space):
            raise OSError(error, os.strerror(error))

    return act
