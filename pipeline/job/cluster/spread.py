"""Shards given to workers that may die, hang, vanish or lie: each is tried elsewhere, a bounded number of times.

A shard counts as done when it is in storage, undamaged, and has the texts that its name says; what a worker says of
it only tells when to look. So nothing is believed, and whatever was stored before a build ends is used by the next.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.encode.shard_plan import PlannedShard, planned_shard
from pipeline.errors import EncoderError, IncompatibleIndexError
from pipeline.index import staging
from pipeline.job.cluster.workers import Answer, Trouble, Workers, WorkerShare
from pipeline.records import Fingerprint
from pipeline.wording import counted

log = logging.getLogger(__name__)

_BEAT = 1.0
"""So often, in seconds, is looked for new workers and for those that take too long."""
_UNRELIABLE = 3
"""So many failures one after the other, and a worker gets no more shards."""
_NAMED = 20
"""So many troubles are kept, and counted beyond."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a shard is tried, how long one may take, and how long to wait while no worker is there.

    `fetches`: how many shards are fetched from storage at a time, where that is needed.
    """

    attempts: int = 3
    shard_seconds: float = 3600.0
    start_seconds: float = 600.0
    fetches: int = 8


@dataclass(slots=True)
class _Shard:
    planned: PlannedShard
    failures: list[Trouble] = field(default_factory=list)

    def has_failed_at(self, worker: str) -> bool:
        return any(trouble.worker == worker for trouble in self.failures)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A shard that a worker says it stored: its number, and the seconds that the worker took."""

    number: int
    worker: str
    seconds: float


class Spread:
    """Encodes the shards of one build on workers. One use only; what happened is in `shares` and `troubles`."""

    def __init__(
        self,
        workers: Workers,
        index: Path,
        prints: Sequence[Fingerprint],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        fetch: Callable[[Path], str] | None = None,
    ) -> None:
        """`prints`: fingerprints of what is stored. `clock`: seconds, of any beginning.

        `fetch`: brings a shard into its folder from where workers store it, or says why that cannot be. Several
        threads call it at a time; workers get their next shards meanwhile.
        """
        self._workers, self._index, self._prints, self._limits = workers, index, prints, limits
        self._clock, self._fetch = clock, fetch
        self._shards: list[_Shard] = []
        self._waiting: deque[int] = deque()
        self._busy: dict[str, tuple[int, float]] = {}
        self._arriving: dict[Future[str], _Arrival] = {}
        self._threads = ThreadPoolExecutor(limits.fetches, "fetch shards") if fetch else None
        self._in_a_row: dict[str, int] = {}
        self._done: dict[str, WorkerShare] = {}
        self._refused = False
        self.troubles: list[Trouble] = []
        self.trouble_count = 0

    @property
    def shares(self) -> list[WorkerShare]:
        """What each worker did, by name."""
        return [self._done[name] for name in sorted(self._done)]

    def encode(self, tasks: Sequence[tuple[Path, Path]]) -> Iterator[int]:
        """Encode (texts, shard folder) pairs; yields the number of each when its shard is in storage.

        Raises `EncoderError` naming a shard, its workers and their reasons if one was tried as often as it may be;
        `EncoderError` or, if all refused, `IncompatibleIndexError` when no worker is left.
        """
        if not tasks:
            return
        self._shards = [_Shard(planned_shard(self._index, texts, shard)) for texts, shard in tasks]
        self._waiting = deque(range(len(tasks)))
        self._workers.begin(len(tasks))
        try:
            yield from self._until_all_are_done()
        finally:
            self._workers.close()
            if self._threads is not None:
                self._threads.shutdown(cancel_futures=True)

    def _until_all_are_done(self) -> Iterator[int]:
        alone_since = self._clock()
        left = len(self._shards)
        while left:
            for worker in self._workers.idle():
                self._give(worker)
            if self._busy or self._arriving:
                alone_since = self._clock()
            else:
                self._check_hope(self._clock() - alone_since)
            for number in [*self._answered(), *self._arrived()]:
                left -= 1
                yield number
            self._end_what_hangs()

    def _answered(self) -> Iterator[int]:
        """Wait for answers, or for what arrives if there is nothing else; the numbers of shards that are done."""
        if self._arriving and not self._busy:
            wait(self._arriving, _BEAT, FIRST_COMPLETED)
        for answer in self._workers.answers(0.0 if self._arriving and not self._busy else _BEAT):
            number = self._taken(answer)
            if number is not None:
                yield number

    def _arrived(self) -> Iterator[int]:
        """The numbers of shards that were fetched meanwhile and are sound."""
        for future in [future for future in self._arriving if future.done()]:
            arrival = self._arriving.pop(future)
            if self._is_settled(arrival, future.result()):
                yield arrival.number

    def _give(self, worker: str) -> None:
        """The next shard for a worker: one that it has not failed at, or any if nobody else is there."""
        if worker in self._busy or not self._waiting:
            return
        fresh = (number for number in self._waiting if not self._shards[number].has_failed_at(worker))
        number = next(fresh, None)
        if number is None and self._workers.alive() > 1:
            return
        number = self._waiting[0] if number is None else number
        self._waiting.remove(number)
        self._busy[worker] = (number, self._clock())
        self._workers.give(worker, self._shards[number].planned)

    def _check_hope(self, waited: float) -> None:
        """Raise if no worker is there and none comes."""
        reasons = "; ".join(str(trouble) for trouble in self.troubles[-3:])
        if not self._workers.alive():
            kind = IncompatibleIndexError if self._refused else EncoderError
            raise kind(f"cluster: no worker is left: {reasons or 'none could be started'}")
        if waited >= self._limits.start_seconds:
            raise EncoderError(
                f"cluster: no worker has taken a shard for {self._limits.start_seconds:g} s; there is no room "
                f"for one, or they fail to start{': ' + reasons if reasons else ''}; look at cluster.cpus, "
                "cluster.gpus and what else runs there"
            )

    def _taken(self, answer: Answer) -> int | None:
        """Look at what an answer is about; the number of the shard if that is done now."""
        if not answer.shard:
            self._refused |= answer.refuses
            self._note(Trouble(answer.worker, "", answer.error))
            return None
        number, since = self._busy.get(answer.worker, (-1, 0.0))
        if number < 0 or self._shards[number].planned.key != answer.shard:
            return None  # a second answer, or one of a worker that was given up
        del self._busy[answer.worker]
        arrival = _Arrival(number, answer.worker, self._clock() - since)
        if answer.error:
            self._failed(number, answer.worker, answer.error)
        elif self._threads is not None:
            self._arriving[self._threads.submit(self._doubt, self._shards[number].planned, answer.checksum)] = (
                arrival
            )
        elif self._is_settled(arrival, self._doubt(self._shards[number].planned, answer.checksum)):
            return number
        return None

    def _is_settled(self, arrival: _Arrival, doubt: str) -> bool:
        """Count a shard for its worker, unless there is a doubt: then it is a failure."""
        worker = arrival.worker
        if doubt:
            self._failed(arrival.number, worker, doubt)
            return False
        self._in_a_row.pop(worker, None)
        before = self._done.get(worker, WorkerShare(worker, 0, 0, 0.0))
        self._done[worker] = WorkerShare(
            worker,
            before.shards + 1,
            before.chunks + self._shards[arrival.number].planned.count,
            before.seconds + arrival.seconds,
        )
        return True

    def _doubt(self, shard: PlannedShard, checksum: str) -> str:
        """Why a shard that a worker says it stored does not count; empty if it does."""
        place = staging.shard_folder(self._index, shard.key)
        if self._fetch is not None and (reason := self._fetch(place)):
            return f"answered, but {reason}"
        try:
            list(place.parent.iterdir())  # a network file system may remember that it was not there
            found = staging.shard_checksum(place)
        except OSError as error:
            return f"answered, but nothing is stored ({error.strerror}); does it see the same storage?"
        if found != checksum:
            return f"answered with the checksum {checksum[:40]!r}, but what is stored has {found!r}"
        if not staging.holds(place, self._prints):
            return "what it stored is damaged, or of other texts"
        return ""

    def _failed(self, number: int, worker: str, reason: str) -> None:
        """Note a failure; the shard waits again, unless it was tried as often as it may be."""
        shard = self._shards[number]
        trouble = Trouble(worker, shard.planned.key, reason)
        shard.failures.append(trouble)
        self._note(trouble)
        if len(shard.failures) >= self._limits.attempts:
            told = "; ".join(f"{failure.worker}: {failure.reason}" for failure in shard.failures)
            raise EncoderError(
                f"cluster: shard {shard.planned.key} ({shard.planned.texts}) was tried "
                f"{counted(len(shard.failures), 'time')}: {told}; what is encoded is "
                "kept, and the next build goes on from there"
            )
        self._waiting.append(number)
        self._in_a_row[worker] = self._in_a_row.get(worker, 0) + 1
        if self._in_a_row[worker] >= _UNRELIABLE:
            self._note(Trouble(worker, "", f"gets no more shards: it failed {_UNRELIABLE} times in a row"))
            if (other := self._busy.pop(worker, None)) is not None:  # given while the last one was fetched
                self._waiting.append(other[0])
            self._workers.dismiss(worker)

    def _end_what_hangs(self) -> None:
        for worker, (number, since) in list(self._busy.items()):
            if self._clock() - since >= self._limits.shard_seconds:
                del self._busy[worker]
                self._workers.dismiss(worker)
                seconds = self._limits.shard_seconds
                self._failed(
                    number, worker, f"has not finished in {seconds:g} s (encode.timeout_seconds) and was ended"
                )

    def _note(self, trouble: Trouble) -> None:
        log.warning("cluster: %s", trouble)
        self.trouble_count += 1
        if len(self.troubles) < _NAMED:
            self.troubles.append(trouble)
