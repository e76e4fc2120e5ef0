"""How long steps report their progress. The library is silent; the command line shows tqdm bars."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol


class Progress(AbstractContextManager["Progress"], Protocol):
    """A step under way."""

    def update(self, n: float = 1) -> object:
        """Say that `n` more units are done."""


class ProgressFactory(Protocol):
    """Starts reporting a step: what it does, how many units it has (`None`: unknown), what a unit is."""

    def __call__(self, description: str, total: int | None, unit: str) -> Progress: ...


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, n: float = 1) -> object:
        return None


def silent(description: str, total: int | None, unit: str) -> Progress:
    """Report nothing."""
    return _Silent()


def remark(step: Progress, text: str) -> None:
    """Show a short text beside the count of a step, where it can show one, as tqdm's bars do."""
    show = getattr(step, "set_postfix_str", None)
    if callable(show):
        show(text)
