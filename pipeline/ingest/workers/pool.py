"""Several workers, and jobs whose results are wanted in the order in which they were handed in.

A worker that dies has a job half done. The job is tried again, and this time the worker says which document it
begins: the one at which it dies again is rejected, with how the process ended, and the job goes on without it. So a
process that was killed for another reason costs nothing but time. A machine that is lost, with the worker on it, is
held against a document only when this happens at the same one several times.
"""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from pipeline import errors
from pipeline.errors import PipelineError, SourceError
from pipeline.ingest.workers.jobs import Job, Result
from pipeline.ingest.workers.messages import Message
from pipeline.ingest.workers.process import Ticket, WorkerProcess, WorkerSetup
from pipeline.ingest.workers.program import LocalProgram, Program
from pipeline.records import Fingerprint

JOBS_EACH = 2
"""One that is done, and one that waits: a worker need not wait for its builder."""
_MOST_DEATHS = 3


@dataclass(frozen=True, slots=True)
class Workers:
    """How to start workers. `fingerprint`: of the chunker that they must have; `live`: makes keys of documents that
    need not be cut; `start`: a worker's program, of its module."""

    setup: WorkerSetup
    count: int
    fingerprint: Fingerprint
    live: Callable[[], bytes]
    start: Callable[[str], Program] = LocalProgram

    def pool(self) -> WorkerPool:
        """A pool, without any process yet."""
        fields = [list(field) for field in self.fingerprint.fields]
        return WorkerPool(replace(self.setup, live=self.live()), self.count, fields, self.start)


class WorkerPool:
    """At most `count` processes, started as there is work for them, and gone when the context is left."""

    def __init__(
        self,
        setup: WorkerSetup,
        count: int,
        fingerprint: list[list[str]],
        start: Callable[[str], Program] = LocalProgram,
    ) -> None:
        """`fingerprint`: the fields of the chunker that workers must have."""
        self._setup, self._count, self._fingerprint = setup, count, fingerprint
        self._start_program = start
        self._workers: list[WorkerProcess] = []
        self._waiting: list[Ticket] = []
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

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self._setup, self._start_program(self._setup.module))
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
            raise _named(name)(text)
        if "ready" in head:
            worker.ready = head["ready"]
            if worker.ready != self._fingerprint:
                raise SourceError(
                    "the processes that cut documents have another chunker than the build; did the model's files "
                    "change? Build again, or set ingest.processes: 1"
                )
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
        self._share_out()

    def _bury(self, worker: WorkerProcess, garbage: str = "") -> None:
        """Note the end of one. `garbage`: why it is ended, if it has not ended by itself."""
        self._workers.remove(worker)
        self._selector.unregister(worker.answers)
        if garbage:
            worker.stop()
        reason = garbage or worker.ending()
        if worker.ready is None and worker.is_lost and self._workers:
            self._count = len(self._workers)  # there is no room for more
        elif worker.ready is None:
            raise SourceError(
                f"no document can be read: {reason} as it started; what it wrote to standard error says why"
            )
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


def _is_understood(worker: WorkerProcess, message: Message) -> bool:
    head = message.head
    if not isinstance(head, dict):
        return False
    if "error" in head or "ready" in head:
        return True
    if not worker.tickets or worker.ready is None:
        return False
    if "begins" in head:
        begins = head["begins"]
        return isinstance(begins, list) and [type(number) for number in begins] == [int, int]
    return "places" in head


def _named(name: str) -> type[PipelineError]:
    found = getattr(errors, name, SourceError)
    with contextlib.suppress(TypeError):
        if issubclass(found, PipelineError):
            return found
    return SourceError
