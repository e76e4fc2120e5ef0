"""The builder's side of one worker process: what it is asked, what it says, and how it ended."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from pipeline.config import IngestSettings
from pipeline.ingest.workers.jobs import Job, Result
from pipeline.ingest.workers.messages import Message, packed, received
from pipeline.ingest.workers.program import Program

DISTRIBUTION = "hybrid-pipeline"


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What every worker needs to know.

    `module`: run as a program, calls `serve` with what makes a chunker of `chunker`. `live`: the keys of documents
    that need not be cut.
    """

    module: str
    chunker: Mapping[str, Any]
    settings: IngestSettings
    live: bytes = b""

    def message(self) -> Message:
        """What a worker is told first."""
        levels = {"root": logging.getLogger().level, "pipeline": logging.getLogger("pipeline").level}
        settings = self.settings.model_dump(mode="json")
        head = {"version": metadata.version(DISTRIBUTION), "chunker": dict(self.chunker), "settings": settings}
        return Message({**head, "levels": levels}, self.live)


class Ticket:
    """A job that was handed in, and its result once it is there. `deaths`: of workers that had begun none of it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.result: Result | None = None
        self.begun: tuple[int, int] | None = None
        self.deaths = 0
        self.losses: Counter[tuple[int, int]] = Counter()
        """Of machines, or of what holds a worker there, by the document that had begun."""


class WorkerProcess:
    """One process, here or elsewhere. `tickets`: what it was given and has not answered, in that order."""

    def __init__(self, setup: WorkerSetup, program: Program, number: int) -> None:
        """`program`: runs `setup.module`. `number`: how many were started before it and with it."""
        self._setup, self._program, self._number = setup, program, number
        self.tickets: deque[Ticket] = deque()
        self.ready: list[Any] | None = None
        """The fields of its chunker's fingerprint, once it has said so."""
        self.answers = program.answers
        self._program.send(packed(setup.message()))

    @property
    def pid(self) -> int:
        """Its number, where it runs."""
        return self._program.pid

    @property
    def name(self) -> str:
        """What people call it, with its place if that is known."""
        place = self._program.place
        return f"reader {self._number} ({place})" if place else f"reader {self._number}"

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs on another machine, so that files that are here may not be there."""
        return self._program.is_elsewhere

    def give(self, ticket: Ticket) -> None:
        """Hand over a job. That the process is gone shows when its answer is read."""
        self.tickets.append(ticket)
        self._program.send(packed(ticket.job.message()))

    def hear(self) -> Message | None:
        """What it says next, its logs passed on; `None` if it is dead."""
        while (message := received(self.answers.read)) is not None and "log" in message.head:
            logging.getLogger(message.head["log"]).log(message.head["level"], "%s", message.head["text"])
        return message

    def ending(self) -> str:
        """How it ended, for people. Ends it if it has not."""
        return self._program.ending(self._setup.settings.document_seconds)

    @property
    def has_no_room(self) -> bool:
        """Whether no place was found for it."""
        return self._program.has_no_room

    @property
    def is_lost(self) -> bool:
        """Whether the machine is gone, or what held the process there: nothing that a document need have done."""
        return self._program.is_lost

    def stop(self) -> None:
        """End it. It has nothing that is worth waiting for."""
        self._program.stop()
