"""A cluster that is none: workers in this process, with a clock of their own, and faults as they are asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.config import Config
from pipeline.encode import shard_plan
from pipeline.encode.shard_plan import PlannedShard, Terms
from pipeline.index import manifest as manifests
from pipeline.index import staging
from pipeline.ingest.workers.program import Elsewhere, LocalProgram
from pipeline.job.cluster.workers import Answer
from pipeline.models.contract import Encoder

Fault = Literal[
    "",
    "slow",
    "twice",
    "dies",
    "dies after storing",
    "hangs",
    "hangs after storing",
    "fails",
    "lies",
    "garbage",
    "lost",
]
HARMLESS: tuple[Fault, ...] = ("", "slow", "twice")
HARMFUL: tuple[Fault, ...] = (
    "dies",
    "dies after storing",
    "hangs",
    "hangs after storing",
    "fails",
    "lies",
    "garbage",
    "lost",
)


@dataclass
class FakeWorkers:
    """`fault`: what goes wrong with the n-th shard that is given out. `refusing`: so many workers do not fit."""

    index: Path
    terms: Terms
    encoder: Encoder
    config: Config
    fault: Callable[[int], Fault] = lambda number: ""
    count: int = 3
    refusing: int = 0
    replaces: bool = True
    now: float = 0.0
    given: list[tuple[str, str]] = field(default_factory=list)
    closed: bool = False
    _members: dict[str, str] = field(default_factory=dict)
    _coming: list[tuple[float, Answer]] = field(default_factory=list)
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    def clock(self) -> float:
        return self.now

    def begin(self, shards: int) -> None:
        for _ in range(min(self.count, shards)):
            name = self._start()
            if self.refusing:
                self.refusing -= 1
                self._members[name] = "starting"
                self._coming.append((0.0, Answer(name, error="does not fit", refuses=True)))

    def _start(self) -> str:
        name = f"w{next(self._names)}"
        self._members[name] = ""
        return name

    def _end(self, worker: str) -> None:
        self._members.pop(worker, None)
        if self.replaces:
            self._start()

    def idle(self) -> Sequence[str]:
        return [name for name, shard in self._members.items() if not shard]

    def alive(self) -> int:
        return len(self._members)

    def give(self, worker: str, shard: PlannedShard) -> None:
        assert self._members[worker] == "", "busy, or gone"
        fault = self.fault(len(self.given))
        self.given.append((worker, shard.key))
        self._members[worker] = shard.key
        place = staging.shard_folder(self.index, shard.key)
        if fault not in ("dies", "hangs", "fails", "lies"):
            shard_plan.encode_planned(self.index, self.terms, shard, self.encoder, self.config.segments)
        if fault == "lies":
            self._say(1, Answer(worker, shard.key, checksum="0" * 32))
            return
        if fault in ("dies", "dies after storing"):
            self._say(1, Answer(worker, shard.key, error="the process is gone"))
            return
        if fault == "fails":
            self._say(1, Answer(worker, shard.key, error="Input/output error"))
            return
        if fault in ("hangs", "hangs after storing"):
            self._say(1e6, Answer(worker, shard.key, checksum="late"))
            return
        checksum = staging.shard_checksum(place)
        if fault == "garbage":
            (place / "dense.npy").write_bytes(b"garbage")
        if fault == "lost":
            shutil.rmtree(place)
        for _ in range(2 if fault == "twice" else 1):
            self._say(50 if fault == "slow" else 1, Answer(worker, shard.key, checksum=checksum))

    def _say(self, after: float, answer: Answer) -> None:
        self._coming.append((self.now + after, answer))

    def answers(self, seconds: float) -> Sequence[Answer]:
        due = min((when for when, _ in self._coming), default=self.now + seconds)
        self.now = max(self.now, min(due, self.now + seconds))
        said = [answer for when, answer in self._coming if when <= self.now]
        self._coming = [(when, answer) for when, answer in self._coming if when > self.now]
        for answer in said:
            if answer.refuses:
                del self._members[answer.worker]
            elif answer.error == "the process is gone":
                self._end(answer.worker)
            elif self._members.get(answer.worker) == answer.shard != "":
                self._members[answer.worker] = ""
        return said

    def dismiss(self, worker: str) -> None:
        self._end(worker)

    def close(self) -> None:
        self.closed = True


@dataclass(slots=True)
class FakeCluster:
    """Workers with an encoder of this process."""

    encoder: Encoder
    fault: Callable[[int], Fault] = lambda number: ""
    made: list[FakeWorkers] = field(default_factory=list)
    left: bool = False

    def workers(self, config: Config, told: str) -> FakeWorkers:
        orders = json.loads(told)
        made = FakeWorkers(config.index_path, Terms(orders["terms"]), self.encoder, config, self.fault)
        self.made.append(made)
        return made

    def readers(self, config: Config) -> Elsewhere:
        return Elsewhere(2, LocalProgram)

    def leave(self) -> None:
        self.left = True


def content(index: Path) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """The live segments, and the checksums of all their files."""
    live = manifests.load(index, manifests.latest_generation(index))
    return [(e.segment_id, tuple((file.name, file.checksum) for file in e.files)) for e in live.segments]
