"""Several workers, and jobs whose results are wanted in the order in which they were handed in.

A worker that dies has a job half done. The job is tried again, and this time the worker says which document it
begins: the one at which it dies again is rejected, with how the process ended, and the job goes on without it. So a
process that was killed for another reason costs nothing but time.
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
from pipeline.records import Fingerprint

JOBS_EACH = 2
"""One that is done, and one that waits: a worker need not wait for its builder."""
_MOST_DEATHS = 3


@dataclass(frozen=True, slots=True)
class Workers:
    """How to start workers. `fingerprint`: of the chunker that they must have; `live`: makes keys of documents that
    need not be cut."""

    setup: WorkerSetup
    count: int
    fingerprint: Fingerprint
    live: Callable[[], bytes]

    def pool(self) -> WorkerPool:
        """A pool, without any process yet."""
        fields = [list(field) for field in self.fingerprint.fields]
        return WorkerPool(replace(self.setup, live=self.live()), self.count, fields)


class WorkerPool:
    """At most `count` processes, started as there is work for them, and gone when the context is left."""

    def __init__(self, setup: WorkerSetup, count: int, fingerprint: list[list[str]]) -> None:
        """`fingerprint`: the fields of the chunker that workers must have."""
        self._setup, self._count, self._fingerprint = setup, count, fingerprint
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
            worker = min(self._workers, key=lambda worker: len(worker.tickets), default=None)
            if worker is None or (worker.tickets and len(self._workers) < self._count):
                worker = self._start()
            if len(worker.tickets) >= JOBS_EACH:
                return
            worker.give(self._waiting.pop(0))

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self._setup)
        self._workers.append(worker)
        self._selector.register(worker.answers, selectors.EVENT_READ, worker)
        return worker

    def _hear(self, worker: WorkerProcess) -> None:
        message = worker.hear()
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
        elif "begins" in head:
            place, number = head["begins"]
            worker.tickets[0].begun = (place, number)
        else:
            self._done(worker, message)

    def _done(self, worker: WorkerProcess, message: Message) -> None:
        ticket = worker.tickets.popleft()
        ticket.result = Result.of(message)
        ticket.job.body = b""
        self._share_out()

    def _bury(self, worker: WorkerProcess) -> None:
        self._workers.remove(worker)
        self._selector.unregister(worker.answers)
        reason = worker.ending()
        if worker.ready is None:
            raise SourceError(
                f"no document can be read: {reason} as it started; what it wrote to standard error says why"
            )
        if worker.tickets:
            ticket = worker.tickets[0]
            if ticket.begun is not None:
                ticket.job.killed[ticket.begun], ticket.begun, ticket.deaths = reason, None, 0
            else:
                ticket.deaths += 1
            if ticket.deaths >= _MOST_DEATHS:
                raise SourceError(f"{ticket.job.files[0].label}: cannot be read: {reason} before it began")
            ticket.job.careful = True
        self._waiting[:0] = worker.tickets
        self._share_out()


def _named(name: str) -> type[PipelineError]:
    found = getattr(errors, name, SourceError)
    with contextlib.suppress(TypeError):
        if issubclass(found, PipelineError):
            return found
    return SourceError
