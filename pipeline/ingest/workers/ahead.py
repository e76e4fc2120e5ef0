"""Files are handed to workers ahead of the one whose documents are taken, and taken in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.config import IngestSettings
from pipeline.ingest.formats.by_suffix import is_built_in
from pipeline.ingest.formats.decoding import UnreadableError, choose_file_encoding
from pipeline.ingest.formats.items import ITEMS
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.opening import open_regular
from pipeline.ingest.guard import Guard, Outcome
from pipeline.ingest.ledger import Ledger, Look
from pipeline.ingest.sources import SourceFile, file_bytes
from pipeline.ingest.suffixes import ARCHIVE_SUFFIXES, ARROW_SUFFIXES, IMAGE_SUFFIXES
from pipeline.ingest.workers.jobs import Job, entry_of
from pipeline.ingest.workers.pool import WorkerPool
from pipeline.ingest.workers.process import Ticket
from pipeline.ingest.workers.split import STRETCH_BYTES, Stretch, is_splittable, stretches
from pipeline.records import Document

MOST_FILES = 64
MOST_DOCUMENTS = 128
AHEAD_BYTES = 64_000_000
"""What is handed in and not taken yet holds no more than this and one job, which may be one large document."""
_MOST_STEPS = 4096
"""How far ahead it is looked, past files that look unchanged."""
_JSON_LINES = ".jsonl"
_SEVERAL = frozenset({".csv", ".tsv", ".parquet", ".mbox", ITEMS, _JSON_LINES}) | ARROW_SUFFIXES | ARCHIVE_SUFFIXES
"""Files of many documents; in a file of any other kind are one or a few."""
_PICTURES = frozenset({".pdf"}) | IMAGE_SUFFIXES
_PICTURE_BYTES = 16
"""At the least, of a scan or of the fonts and drawings of a page, to one of its text."""

ReadHere = Callable[[SourceFile], Iterator[Outcome]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One file, when it is its turn, which looked like `look` when it was handed to workers.

    `outcomes`: what becomes of its documents; `None` if it was not handed to workers.
    """

    file: SourceFile
    look: Look | None = None
    looked_at: int = 0
    outcomes: Iterator[Outcome] | None = None


@dataclass(slots=True)
class _Task:
    """A job that is handed in when it is large enough, or when its result is wanted.

    `bytes`: what it holds, with its result, about. `to_read`: of its files.
    """

    job: Job
    bytes: int = 0
    to_read: int = 0
    ticket: Ticket | None = None


@dataclass(frozen=True, slots=True)
class _Begins:
    file: SourceFile
    is_read: bool
    look: Look | None = None
    looked_at: int = 0


@dataclass(frozen=True, slots=True)
class _Documents:
    task: _Task
    place: int


@dataclass(frozen=True, slots=True)
class _Fails:
    error: UnreadableError


@dataclass(frozen=True, slots=True)
class _Ends:
    pass


_Step = _Begins | _Documents | _Fails | _Ends


class ReadAhead:
    """Hands files to a pool of workers. Memory: what `WorkerPool.most_jobs` jobs or `AHEAD_BYTES` hold, whichever
    is less, and their results."""

    def __init__(
        self, pool: WorkerPool, settings: IngestSettings, ledger: Ledger, guard: Guard, read_here: ReadHere
    ) -> None:
        """`read_here`: reads a file in this process, where workers only cut what it holds."""
        self._pool, self._settings, self._ledger, self._guard = pool, settings, ledger, guard
        self._read_here = read_here
        self._steps: deque[_Step] = deque()
        self._unfinished: list[_Task] = []
        self._whole_files: _Task | None = None

    def turns(self, files: Iterator[SourceFile]) -> Iterator[Turn]:
        """Each file in order. The outcomes of one are to be taken before the next."""
        steps = self._steps_of(files)
        while (step := self._next(steps)) is not None:
            assert isinstance(step, _Begins)
            if step.is_read:
                yield Turn(step.file, step.look, step.looked_at, self._outcomes(steps))
            else:
                yield Turn(step.file)

    def _outcomes(self, steps: Iterator[_Step]) -> Iterator[Outcome]:
        last = 0
        while not isinstance(step := self._next(steps), _Ends | None):
            if isinstance(step, _Documents):
                for outcome in self._result(step):
                    yield outcome
                    last = outcome.line
            elif isinstance(step, _Fails):
                rest = f" (nothing behind {last} is read)" if last else ""
                yield Outcome(0, UnreadableError(f"{step.error}{rest}"))

    def _result(self, step: _Documents) -> Iterator[Outcome]:
        self._hand_in(step.task)
        assert step.task.ticket is not None
        result = self._pool.result(step.task.ticket)
        if step.task in self._unfinished:
            self._unfinished.remove(step.task)
        return result.outcomes(step.place)

    def _next(self, steps: Iterator[_Step]) -> _Step | None:
        while self._has_room() and len(self._steps) < _MOST_STEPS:
            step = next(steps, None)
            if step is None:
                break
            self._steps.append(step)
        return self._steps.popleft() if self._steps else None

    def _has_room(self) -> bool:
        tasks = self._unfinished
        return len(tasks) < self._pool.most_jobs and sum(task.bytes for task in tasks) < AHEAD_BYTES

    def _steps_of(self, files: Iterator[SourceFile]) -> Iterator[_Step]:
        for file in files:
            if self._ledger.looks_unchanged(file):
                yield _Begins(file, is_read=False)
                continue
            look, looked_at = self._ledger.look(file)
            yield _Begins(file, True, look, looked_at)
            if file.problem is not None or file.wanted is not None or not is_built_in(file.suffix):
                yield from self._read_already(file)
            elif file.suffix == _JSON_LINES:
                yield from self._lines(file)
            elif file.suffix not in _SEVERAL:
                yield self._whole(file)
            else:
                yield from self._read_already(file)
            yield _Ends()
        if self._whole_files is not None:
            self._hand_in(self._whole_files)

    def _hand_in(self, task: _Task) -> None:
        if task.ticket is None:
            task.ticket = self._pool.submit(task.job)
            self._unfinished.append(task)
        if task is self._whole_files:
            self._whole_files = None

    def _whole(self, file: SourceFile) -> _Step:
        task = self._whole_files = self._whole_files or _Task(Job("files", []))
        size = file_bytes(file)
        task.job.files.append(file)
        task.to_read += size
        task.bytes += size // _PICTURE_BYTES if file.suffix in _PICTURES else size
        step = _Documents(task, len(task.job.files) - 1)
        if task.to_read >= STRETCH_BYTES or len(task.job.files) == MOST_FILES:
            self._hand_in(task)
        return step

    def _lines(self, file: SourceFile) -> Iterator[_Step]:
        """The stretches of a file of JSON lines; where it cannot be split, its documents."""
        found = self._stretches(file)
        while True:
            try:
                stretch = self._guard.run(lambda: file.label, lambda: next(found, None))
            except UnreadableError as error:
                yield _Fails(error)
                return
            if stretch is None:
                return
            if isinstance(stretch, str):
                yield from self._read_already(file)
                return
            facts = {"encoding": stretch.encoding, "before": stretch.before}
            yield self._handed_in(Job("lines", [file], facts, stretch.data), len(stretch.data))

    def _stretches(self, file: SourceFile) -> Iterator[Stretch | str]:
        with open_regular(file.path) as stream:
            encoding = choose_file_encoding(stream, self._settings.encodings)
            if not is_splittable(encoding):
                yield encoding
                return
            stream.seek(0)
            yield from stretches(stream, encoding, max_bytes(self._settings), STRETCH_BYTES)

    def _read_already(self, file: SourceFile) -> Iterator[_Step]:
        """The documents of a file that is read here."""
        entries: list[list[Any]] = []
        characters = 0
        for outcome in self._read_here(file):
            if isinstance(outcome.result, Document):
                entries.append(entry_of(outcome.line, outcome.result))
                characters += len(outcome.result.text)
            else:
                entries.append([outcome.line, str(outcome.result)])
            if characters >= STRETCH_BYTES or len(entries) == MOST_DOCUMENTS:
                yield self._handed_in(Job("documents", [file], {"entries": entries}), characters)
                entries, characters = [], 0
        if entries:
            yield self._handed_in(Job("documents", [file], {"entries": entries}), characters)

    def _handed_in(self, job: Job, size: int) -> _Step:
        task = _Task(job, size)
        self._hand_in(task)
        return _Documents(task, 0)
