"""How long each stage of a build takes, measured by listening to the progress it reports."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from pipeline.progress import Progress, ProgressFactory, remark, silent


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage: its name, how many units it did, the wall time, and the process's peak memory when it ended."""

    name: str
    units: int
    unit: str
    seconds: float
    peak_bytes: int


class Stopwatch:
    """A `ProgressFactory` that passes everything on and notes every stage in `stages`."""

    def __init__(self, progress: ProgressFactory = silent, tell: Callable[[StageTime], None] | None = None) -> None:
        """`progress`: who is told as well; `tell`: who is told of a stage when it ends."""
        self._progress = progress
        self._tell = tell
        self._started = time.monotonic()
        self.stages: list[StageTime] = []

    def __call__(self, description: str, total: int | None, unit: str) -> Progress:
        """Start a stage."""
        return _Timed(self._note, description, unit, self._progress(description, total, unit))

    def _note(self, stage: StageTime) -> None:
        self.stages.append(stage)
        if self._tell is not None:
            self._tell(stage)

    @property
    def seconds(self) -> float:
        """Wall time since the stopwatch was made."""
        return time.monotonic() - self._started

    def seconds_of(self, name: str) -> float:
        """Wall time of all stages of this name."""
        return sum(stage.seconds for stage in self.stages if stage.name == name)


class _Timed(Progress):
    def __init__(self, note: Callable[[StageTime], None], name: str, unit: str, inner: Progress) -> None:
        self._note, self._name, self._unit, self._inner = note, name, unit, inner
        self._done = 0.0
        self._started = 0.0

    def __enter__(self) -> Progress:
        self._started = time.monotonic()
        self._inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.monotonic() - self._started
        self._note(StageTime(self._name, round(self._done), self._unit, seconds, peak_memory()))
        self._inner.__exit__(kind, error, trace)

    def update(self, n: float = 1) -> object:
        self._done += n
        return self._inner.update(n)

    def set_postfix_str(self, text: str) -> None:
        remark(self._inner, text)


def peak_memory() -> int:
    """Most memory, in bytes, that this process or the largest finished child has held at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, children) * unit
