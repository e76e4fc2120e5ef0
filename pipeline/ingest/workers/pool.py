"""Several workers, and jobs whose results are wanted in the order in which they were handed in.

A worker that dies has a job half done. The job is tried again, and this time the worker says which document it
begins: the one at which it dies again is rejected, with how the process ended, and the job goes on without it. So a
process that was killed for another reason costs nothing but time. A machine that is lost, with the worker on it, is
held against a document only when this happens at the same one several times.

A worker elsewhere that does not fit the build, or does not get as far as its first job, is named and gone: others
do its work, and the build ends only when none is left. One of this machine is as good as any other here, so its
trouble is the build's.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from pipeline import errors
from pipeline.errors import IncompatibleIndexError, PipelineError, SourceError
from pipeline.ingest.workers.jobs import Job, Result
from pipeline.ingest.workers.messages import Message
from pipeline.ingest.workers.process import Ticket, WorkerProcess, WorkerSetup
from pipeline.ingest.workers.program import LocalProgram, Program
from pipeline.ingest.workers.tally import Tally
from pipeline.records import Fingerprint

log = logging.getLogger(__name__)

JOBS_EACH = 2
"""One that is done, and one that waits: a worker need not wait for its builder."""
_MOST_DEATHS = 3
_NAMED = 3
"""So many reasons are told when no worker is left."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How to start workers. `fingerprint`: of the chunker that they must have; `live`: makes keys of documents that
    need not be cut; `start`: a worker's program, of its module; `tally`: counts what those elsewhere do."""

    setup: WorkerSetup
    count: int
    fingerprint: Fingerprint
    live: Callable[[], bytes]
    start: Callable[[str], Program] = LocalProgram
    tally: Tally = field(default_factory=Tally)

    def pool(self) -> WorkerPool:
        """A pool, without any process yet."""
        fields = [list(field) for field in self.fingerprint.fields]
        return WorkerPool(replace(self.setup, live=self.live()), self.count, fields, self.start, self.tally)


class WorkerPool:
    """At most `count` processes, started as there is work for them, and gone when the context is left."""

    def __init__(
        self,
        setup: WorkerSetup,
        count: int,
        fingerprint: list[list[str]],
        start: Callable[[str], Program] = LocalProgram,
        tally: Tally | None = None,
    ) -> None:
        """`fingerprint`: the fields of the chunker that workers must have."""
        self._setup, self._count, self._fingerprint = setup, count, fingerprint
        self._start_program, self._tally = start, tally or Tally()
        self._workers: list[WorkerProcess] = []
        self._waiting: list[Ticket] = []
        self._started = self._lost_starts = 0
        self._unfit: list[str] = []
        self._is_refused = False
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self._selector.close()

    @property
    def most_jobs(self) -> int:
        """How many jobs may usefully be handed in before the result of the first is taken."""
        return self._count * (JOBS_EACH + 1)

    def submit(self, job: Job) -> Ticket:
        """Hand in a job."""
        ticket = Ticket(job)
        self._waiting.append(ticket)
        self._share_out()
        return ticket

    def result(self, ticket: Ticket) -> Result:
        """Wait for the result of a job. Raises what the work on it raised, `SourceError` if no worker can do it."""
        while ticket.result is None:
            for key, _ in self._selector.select():
                self._hear(key.data)
        return ticket.result

    def _share_out(self) -> None:
        while self._waiting:
            able = [worker for worker in self._workers if worker.ready is not None or not worker.is_elsewhere]
            worker = min(able, key=lambda worker: len(worker.tickets), default=None)
            if (worker is None or worker.tickets) and len(self._workers) < self._count:
                started = self._start()
                if started.is_elsewhere:
                    continue  # it may find no room, and gets work once it has
                worker = started
            if worker is None or len(worker.tickets) >= JOBS_EACH:
                return
            worker.give(self._waiting.pop(0))
            if worker.is_elsewhere:
                self._tally.given(worker.name)

    def _start(self) -> WorkerProcess:
        self._started += 1
        worker = WorkerProcess(self._setup, self._start_program(self._setup.module), self._started)
        self._workers.append(worker)
        self._selector.register(worker.answers, selectors.EVENT_READ, worker)
        return worker

    def _hear(self, worker: WorkerProcess) -> None:
        try:
            message = worker.hear()
            if message is not None and not _is_understood(worker, message):
                raise ValueError("an answer that nobody asked for")
        except ValueError as error:
            self._bury(worker, f"the worker gave {error}")
            return
        if message is None:
            self._bury(worker)
            return
        head = message.head
        if "error" in head:
            name, text = head["error"]
            reason = _named(name)(text)
            if worker.ready is not None:
                raise reason
            self._drop(worker, reason)
        elif "ready" in head:
            if head["ready"] != self._fingerprint:
                self._drop(worker, self._other_chunker(worker, head["ready"]))
                return
            worker.ready, self._lost_starts = head["ready"], 0
            if worker.is_elsewhere:
                self._tally.began()
            self._share_out()
        elif "begins" in head:
            place, number = head["begins"]
            worker.tickets[0].begun = (place, number)
        else:
            try:
                result = Result.of(message, len(worker.tickets[0].job.files))
            except ValueError as error:
                self._bury(worker, f"the worker gave {error}")
                return
            if worker.is_elsewhere:
                self._check_seen(worker.tickets[0].job, message.head.get("unseen", []))
            self._done(worker, result)

    def _other_chunker(self, worker: WorkerProcess, theirs: list[list[str]]) -> PipelineError:
        if not worker.is_elsewhere:
            return SourceError(
                "the processes that cut documents have another chunker than the build; did the model's files "
                "change? Build again, or set ingest.processes: 1"
            )
        own, other = (
            Fingerprint(tuple((name, value) for name, value in one)) for one in (self._fingerprint, theirs)
        )
        return IncompatibleIndexError(
            "a worker that cuts documents has another chunker than the build: "
            f"{'; '.join(own.differences(other))}; give it the same model"
        )

    def _drop(self, worker: WorkerProcess, error: PipelineError) -> None:
        """Go on without a worker that is of no use. Raises `error` if it is of this machine."""
        if not worker.is_elsewhere:
            raise error
        self._note(worker, str(error))
        self._unfit.append(f"{worker.name}: {error}")
        self._is_refused |= isinstance(error, IncompatibleIndexError)
        self._remove(worker)
        worker.stop()
        self._count -= 1
        self._check_hope()
        self._share_out()

    def _check_hope(self) -> None:
        """Raise if no worker is left and none is started any more."""
        if self._count < 1:
            kind = IncompatibleIndexError if self._is_refused else SourceError
            raise kind(f"no document can be read: no worker is left: {'; '.join(self._unfit[-_NAMED:])}")

    def _note(self, worker: WorkerProcess, reason: str) -> None:
        file = worker.tickets[0].job.files[0].label if worker.tickets else ""
        log.warning("cluster: %s", self._tally.lost(worker.name, file, reason, worker.ready is not None))

    def _remove(self, worker: WorkerProcess) -> None:
        self._workers.remove(worker)
        self._selector.unregister(worker.answers)

    @staticmethod
    def _check_seen(job: Job, unseen: list[int]) -> None:
        for file in (job.files[place] for place in unseen):
            if file.path.exists():
                raise SourceError(
                    f"{file.label}: the build sees {file.path.absolute()}, and a worker of the cluster does not; "
                    "let all machines see the sources under the same path, or set ingest.processes: 1 to read "
                    "them here"
                )

    def _done(self, worker: WorkerProcess, result: Result) -> None:
        ticket = worker.tickets.popleft()
        ticket.result = result
        ticket.job.body = b""
        if worker.is_elsewhere:
            documents = sum(len(entries) for entries in result.places)
            self._tally.did(worker.name, documents, len(result.table), bool(worker.tickets))
        self._share_out()

    def _bury(self, worker: WorkerProcess, garbage: str = "") -> None:
        """Note the end of one. `garbage`: why it is ended, if it has not ended by itself."""
        self._remove(worker)
        if garbage:
            worker.stop()
        reason = garbage or worker.ending()
        if worker.is_elsewhere:
            self._note(worker, reason if worker.ready is not None else f"{reason} as it started")
        if worker.ready is None:
            self._give_up_place(worker, reason)
        if worker.tickets:
            ticket = worker.tickets[0]
            begun, ticket.begun = ticket.begun, None
            if garbage or begun is None or begun in ticket.job.killed:
                ticket.deaths += 1
            else:
                ticket.losses[begun] += 1
                if not worker.is_lost or ticket.losses[begun] >= _MOST_DEATHS:
                    ticket.job.killed[begun], ticket.deaths = reason, 0
            if ticket.deaths >= _MOST_DEATHS:
                raise SourceError(f"{ticket.job.files[0].label}: cannot be read: {reason} before it began")
            ticket.job.careful = True
        self._waiting[:0] = worker.tickets
        self._share_out()

    def _give_up_place(self, worker: WorkerProcess, reason: str) -> None:
        """Start no other for one that ended before it was ready, unless its machine was lost.

        Raises `SourceError` if it is of this machine or the last.
        """
        if not worker.is_elsewhere:
            raise SourceError(
                f"no document can be read: {reason} as it started; what it wrote to standard error says why"
            )
        if worker.is_lost and not worker.has_no_room:
            self._lost_starts += 1
            if self._lost_starts <= _MOST_DEATHS:
                return
        self._unfit.append(f"{worker.name}: {reason} as it started")
        self._count = len(self._workers) if worker.has_no_room else self._count - 1
        self._check_hope()


def _is_understood(worker: WorkerProcess, message: Message) -> bool:
    head = message.head
    if not isinstance(head, dict):
        return False
    if "error" in head:
        return _are_texts([head["error"]])
    if "ready" in head:
        return worker.ready is None and isinstance(head["ready"], list) and _are_texts(head["ready"])
    if not worker.tickets or worker.ready is None:
        return False
    if "begins" in head:
        begins = head["begins"]
        return isinstance(begins, list) and [type(number) for number in begins] == [int, int]
    return "places" in head


def _are_texts(pairs: list[Any]) -> bool:
    """Whether each is a list of two texts."""
    return all(isinstance(pair, list) and [type(text) for text in pair] == [str, str] for pair in pairs)


def _named(name: str) -> type[PipelineError]:
    found = getattr(errors, name, SourceError)
    with contextlib.suppress(TypeError):
        if issubclass(found, PipelineError):
            return found
    return SourceError
