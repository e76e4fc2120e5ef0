"""What a build asks of whatever runs its workers: a cluster, or a stand-in for one in tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.encode.shard_plan import PlannedShard


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says of a shard: a checksum of what it stored, or why it could not.

    `shard`: the key; empty if the worker does not get as far as a shard: then it never was among those that wait.
    `refuses`: it must not compute, since it does not fit the plan.
    """

    worker: str
    shard: str = ""
    checksum: str = ""
    error: str = ""
    refuses: bool = False


@dataclass(frozen=True, slots=True)
class WorkerShare:
    """What a worker did: shards and texts that it encoded, and the seconds from getting to answering them."""

    worker: str
    shards: int
    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """A shard that a worker did not encode (or a worker that did not start, `shard` empty), and why."""

    worker: str
    shard: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.worker}: {self.reason}"
            if not self.shard
            else f"{self.worker}: shard {self.shard}: {self.reason}"
        )


class Workers(Protocol):
    """Processes anywhere that encode shards into storage that all can reach. None of them is to be trusted."""

    def begin(self, shards: int) -> None:
        """Start as many as there is room for, and no more than there are shards. Does not wait for them."""

    def idle(self) -> Sequence[str]:
        """Those that wait for a shard. Their names are never used again for others."""

    def alive(self) -> int:
        """How many work, wait or are still starting."""

    def give(self, worker: str, shard: PlannedShard) -> None:
        """Give a shard to one that waits."""

    def answers(self, seconds: float) -> Sequence[Answer]:
        """Wait for answers, at most this long. A worker that is gone has an answer too, if it had a shard."""

    def dismiss(self, worker: str) -> None:
        """End a worker, whatever it does, and start another in its place as long as that makes sense."""

    def close(self) -> None:
        """End all of them."""
