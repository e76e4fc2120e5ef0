"""The worker's side: jobs come in on standard input, results go out on standard output.

One job is done after the other, in the main thread, since alarms ring there. It ends with its builder, whose death
closes the input.
"""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import metadata
from queue import SimpleQueue
from typing import Any

from pipeline.config import IngestSettings
from pipeline.errors import IncompatibleIndexError, PipelineError
from pipeline.index.live import DocumentKeys
from pipeline.index.schemas import chunks_to_table
from pipeline.ingest.cutting.contract import DocumentChunker
from pipeline.ingest.formats.by_suffix import FOREIGN, read_file
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.lines import json_lines, max_bytes
from pipeline.ingest.formats.registry import with_extra
from pipeline.ingest.guard import Found, Guard, Outcome, refused
from pipeline.ingest.parser_process import ParserProcess
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers.jobs import files_of, result_message
from pipeline.ingest.workers.messages import Message, packed, received
from pipeline.ingest.workers.process import DISTRIBUTION
from pipeline.records import Chunk, Document, Rejection

MakeChunker = Callable[[dict[str, Any]], DocumentChunker]


def serve(make_chunker: MakeChunker) -> None:
    """Do what the builder asks, until it ends. `make_chunker`: of what it says of its own chunker."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    orders: SimpleQueue[Message] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    turn = threading.Lock()

    def answer(message: Message) -> None:
        try:
            with turn:
                for piece in packed(message):
                    view = memoryview(piece)
                    while view:
                        view = view[answers.write(view) :]
        except BrokenPipeError:
            os._exit(0)  # nobody listens any more

    first = orders.get()
    logging.basicConfig(handlers=[_LogLines(answer)], format="%(message)s", level=first.head["levels"]["root"])
    logging.getLogger("pipeline").setLevel(first.head["levels"]["pipeline"])
    try:
        _check_version(first.head)
        chunker = make_chunker(first.head["chunker"])
    except PipelineError as error:
        answer(_failed(error))
        return
    answer(Message({"ready": list(chunker.fingerprint.fields)}))
    settings = IngestSettings.model_validate(first.head["settings"])
    with ParserProcess(settings) as parser:
        work = _Work(settings, chunker, DocumentKeys.of(first.body), parser, answer)
        while True:
            job = orders.get()
            try:
                answer(work.do(job))
            except PipelineError as error:
                answer(_failed(error))


def _check_version(head: dict[str, Any]) -> None:
    theirs, own = head.get("version"), metadata.version(DISTRIBUTION)
    if theirs != own:
        raise IncompatibleIndexError(
            f"a worker that reads documents does not fit the build: version: {theirs} → {own}; install the "
            "same there"
        )


def _failed(error: PipelineError) -> Message:
    return Message({"error": [type(error).__name__, str(error)]})


class _Work:
    """What a worker needs for any job."""

    def __init__(
        self,
        settings: IngestSettings,
        chunker: DocumentChunker,
        live: DocumentKeys,
        parser: ParserProcess,
        answer: Callable[[Message], None],
    ) -> None:
        self._settings, self._chunker, self._live, self._answer = settings, chunker, live, answer
        self._parser = parser
        self._reading, self._cutting = Guard(settings.document_seconds), Guard(settings.document_seconds)

    def do(self, job: Message) -> Message:
        """The result of a job."""
        places: list[list[list[Any]]] = []
        chunks: list[Chunk] = []
        unseen: list[int] = []
        for place, file in enumerate(files_of(job.head)):
            with self._reading:
                outcomes = self._outcomes(job, place, file)
                places.append([self._entry(outcome, file, chunks) for outcome in outcomes])
            if job.head["kind"] == "files" and not file.path.exists():
                unseen.append(place)
        return result_message(places, [chunks_to_table(chunks)] if chunks else [], unseen)

    def _outcomes(self, job: Message, place: int, file: SourceFile) -> Iterator[Outcome]:
        if job.head["kind"] == "files" and file.suffix in FOREIGN:
            return Guard(None).outcomes(file.label, self._parsed(job, place, file))  # the parser keeps to the limit
        return self._reading.outcomes(file.label, self._announced(job, place, self._read(job, file)))

    def _parsed(self, job: Message, place: int, file: SourceFile) -> Iterator[Found]:
        """The documents of a file of a foreign format, which is begun and killed as one."""
        reason = next((reason for at, _, reason in job.head["killed"] if at == place), None)
        if job.head["careful"]:
            self._answer(Message({"begins": [place, 0]}))
        if reason is not None:
            yield refused(0, UnreadableError(reason))
        else:
            yield from self._parser.read(file)

    def _read(self, job: Message, file: SourceFile) -> Iterator[Found]:
        head = job.head
        if head["kind"] == "files":
            return read_file(file, self._settings)
        if head["kind"] == "lines":
            stream = io.TextIOWrapper(io.BytesIO(job.body), head["encoding"], "surrogateescape", newline="")
            return with_extra(json_lines(stream, file, max_bytes(self._settings), head["before"]), file)
        return _already_read(head["entries"])

    def _announced(self, job: Message, place: int, read: Iterator[Found]) -> Iterator[Found]:
        killed = {number: reason for at, number, reason in job.head["killed"] if at == place}
        for number, found in enumerate(read):
            if job.head["careful"]:
                self._answer(Message({"begins": [place, number]}))
            yield refused(found.line, UnreadableError(killed[number])) if number in killed else found

    def _entry(self, outcome: Outcome, file: SourceFile, chunks: list[Chunk]) -> list[Any]:
        line, document = outcome.line, outcome.result
        if not isinstance(document, Document):
            return [line, str(document)]
        if not document.text.strip():
            return [line, "empty"]
        content_hash = document.content_hash
        found = [line, document.doc_id, content_hash]
        if self._live.has(document.doc_id, content_hash, file.label):
            return found
        document = replace(document, source=file.label, line=line or None)
        try:
            with self._cutting:
                pieces = self._cutting.run(
                    lambda: Rejection(file.label, "", document.line).source,
                    lambda: list(self._chunker.chunk(document)),
                )
        except UnreadableError as error:
            return [*found, 0, str(error)]
        chunks += pieces
        return [*found, len(pieces)]


def _already_read(entries: list[list[Any]]) -> Iterator[Found]:
    for line, *content in entries:
        if len(content) == 1:
            yield refused(line, UnreadableError(content[0]))
        else:
            doc_id, text, metadata, is_markdown, pages, lines = content
            yield Found(line, partial(Document, doc_id, text, metadata, is_markdown, pages=pages, lines=lines))


class _LogLines(logging.Handler):
    """Sends what is logged to the builder, which knows where logs go."""

    def __init__(self, answer: Callable[[Message], None]) -> None:
        super().__init__()
        self._answer = answer

    def emit(self, record: logging.LogRecord) -> None:
        self._answer(Message({"log": record.name, "level": record.levelno, "text": self.format(record)}))


def _listen(orders: SimpleQueue[Message]) -> None:
    with io.FileIO(0, closefd=False) as stream:  # unbuffered: a thread in a locked buffer would abort the exit
        while (message := received(stream.read)) is not None:
            orders.put(message)
    os._exit(0)  # the builder is done with this process, or dead
