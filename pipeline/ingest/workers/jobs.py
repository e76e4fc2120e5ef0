"""What a worker is given to do, and what it says became of each document.

A job has places: files, or one stretch of a file. A result has for each place what became of its documents, in
order, and one table of the chunks of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.config import SourceSettings
from pipeline.index.schemas import CHUNK_SCHEMA
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.guard import ChunkRows, CutDocument, Outcome
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers.messages import Message
from pipeline.records import Document


@dataclass(slots=True)
class Job:
    """Something for a worker to do. `files`: the file of each place.

    `kind`: `files`, whole; `lines`, a stretch of JSON lines, which is the body; `documents`, already read.
    `careful`: the worker says which document it begins. `killed`: why documents are not tried again, by place and
    number in it.
    """

    kind: str
    files: list[SourceFile]
    facts: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    careful: bool = False
    killed: dict[tuple[int, int], str] = field(default_factory=dict)

    def message(self) -> Message:
        """The job as it is sent."""
        sources: dict[int, tuple[int, Any]] = {}
        files = []
        for file in self.files:
            number, _ = sources.setdefault(id(file.source), (len(sources), file.source.model_dump(mode="json")))
            files.append([str(file.path.absolute()), file.name, file.label, number, dict(file.extra)])
        killed = [[place, number, reason] for (place, number), reason in self.killed.items()]
        head = {"kind": self.kind, "files": files, "sources": [source for _, source in sources.values()]}
        return Message({**head, **self.facts, "careful": self.careful, "killed": killed}, self.body)


def files_of(head: dict[str, Any]) -> list[SourceFile]:
    """The files of a job, as the worker gets it."""
    sources = [SourceSettings.model_validate(source) for source in head["sources"]]
    return [
        SourceFile(path, name, label, sources[number], extra=extra)
        for path, name, label, number, extra in head["files"]
    ]


def entry_of(line: int, document: Document) -> list[Any]:
    """A document that was read already, to be sent."""
    return [
        line,
        document.doc_id,
        document.text,
        dict(document.metadata),
        document.is_markdown,
        list(document.pages),
        list(document.lines),
    ]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the documents of a job."""

    places: list[list[list[Any]]]
    first_rows: list[int]
    table: pa.Table

    @classmethod
    def of(cls, message: Message, count: int) -> Result:
        """The result of a job of `count` places, as it was sent. Raises `ValueError` if it is none."""
        try:
            result = cls._read(message)
        except (LookupError, TypeError) as error:
            raise ValueError(f"an answer that is none: {type(error).__name__}") from error
        rows = sum(entry[3] for entries in result.places for entry in entries if len(entry) == 4)
        if len(result.places) != count or rows != len(result.table) or result.table.schema != CHUNK_SCHEMA:
            raise ValueError("an answer that does not fit the job")
        return result

    @classmethod
    def _read(cls, message: Message) -> Result:
        with pa.ipc.open_stream(message.body) as stream:
            table = stream.read_all()
        places, rows, first_rows = message.head["places"], 0, []
        for entries in places:
            first_rows.append(rows)
            rows += sum(entry[3] for entry in entries if len(entry) == 4)
        return cls(places, first_rows, table)

    def outcomes(self, place: int) -> Iterator[Outcome]:
        """What became of each document of one place, in order."""
        row = self.first_rows[place]
        for entry in self.places[place]:
            if len(entry) == 2:
                line, reason = entry
                yield Outcome(line, UnreadableError(reason))
                continue
            line, doc_id, content_hash, *cut = entry
            chunks: ChunkRows | UnreadableError | None = None
            if len(cut) == 1:
                chunks = ChunkRows(self.table, row, row + cut[0])
                row += cut[0]
            elif cut:
                chunks = UnreadableError(cut[1])
            yield Outcome(line, CutDocument(doc_id, content_hash, chunks))


def result_message(
    places: list[list[list[Any]]], tables: Sequence[pa.Table], unseen: Sequence[int] = ()
) -> Message:
    """The result of a job, to be sent. Entries: `[line, reason]`, `[line, id, hash]` of a document that is live,
    `[line, id, hash, chunks]`, `[line, id, hash, 0, reason]` of one that cannot be cut. `unseen`: places of
    files that are not there for the worker."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, CHUNK_SCHEMA) as stream:
        for table in tables:
            stream.write_table(table)
    return Message({"places": places, "unseen": list(unseen)}, sink.getvalue().to_pybytes())
