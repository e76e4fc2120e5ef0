"""What workers elsewhere read for a build, and what went wrong with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.wording import counted

_NAMED = 20
"""So many losses are kept, and counted beyond."""


@dataclass(frozen=True, slots=True)
class ReadingShare:
    """What a worker read and cut: jobs, documents and chunks, and the seconds in which it had something to do."""

    worker: str
    jobs: int
    documents: int
    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ReadingLoss:
    """A worker that ended or was not used, and why. `file`: the first of its job; empty if it had none."""

    worker: str
    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.worker}: {self.file}: {self.reason}" if self.file else f"{self.worker}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What all of them did. `losses`: the first, of `loss_count`. Empty where this machine read."""

    shares: tuple[ReadingShare, ...] = ()
    losses: tuple[ReadingLoss, ...] = ()
    loss_count: int = 0


@dataclass(slots=True)
class Tally:
    """Counts while workers read. `clock`: seconds, of any beginning."""

    clock: Callable[[], float] = time.monotonic
    _shares: dict[str, ReadingShare] = field(default_factory=dict)
    _losses: list[ReadingLoss] = field(default_factory=list)
    _loss_count: int = 0
    _busy_since: dict[str, float] = field(default_factory=dict)
    _alive: int = 0

    @property
    def reading(self) -> Reading:
        """What was counted."""
        shares = sorted(self._shares.values(), key=lambda share: (len(share.worker), share.worker))
        return Reading(tuple(shares), tuple(self._losses), self._loss_count)

    def __str__(self) -> str:
        """One short line for a progress bar; empty while no worker was started."""
        if not self._alive and not self._loss_count:
            return ""
        lost = f", {self._loss_count:,} lost" if self._loss_count else ""
        return f"{counted(self._alive, 'worker')}{lost}"

    def began(self) -> None:
        """A worker is there."""
        self._alive += 1

    def given(self, worker: str) -> None:
        """A worker has something to do."""
        self._busy_since.setdefault(worker, self.clock())

    def did(self, worker: str, documents: int, chunks: int, is_busy: bool) -> None:
        """A worker did a job. `is_busy`: whether it has another."""
        now = self.clock()
        seconds = now - self._busy_since.pop(worker, now)
        if is_busy:
            self._busy_since[worker] = now
        old = self._shares.get(worker, ReadingShare(worker, 0, 0, 0, 0.0))
        self._shares[worker] = ReadingShare(
            worker, old.jobs + 1, old.documents + documents, old.chunks + chunks, old.seconds + seconds
        )

    def lost(self, worker: str, file: str, reason: str, had_begun: bool) -> ReadingLoss:
        """A worker is gone. `had_begun`: whether it was counted as there."""
        loss = ReadingLoss(worker, file, reason)
        self._busy_since.pop(worker, None)
        self._alive -= had_begun
        self._loss_count += 1
        if len(self._losses) < _NAMED:
            self._losses.append(loss)
        return loss
