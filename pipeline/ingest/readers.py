"""Files → documents. A file ends as documents or as a rejection with one line of reason; none stops the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain

from pipeline.config import IngestSettings
from pipeline.index.live import Contents
from pipeline.ingest.formats.by_suffix import FOREIGN, read_file
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.guard import Guard, Outcome, ReadDocument, one_line
from pipeline.ingest.ledger import Ledger
from pipeline.ingest.parser_process import ParserProcess
from pipeline.ingest.sources import SourceFile, file_bytes
from pipeline.ingest.sources import discover as discover
from pipeline.ingest.workers.ahead import ReadAhead, ReadHere, Turn
from pipeline.ingest.workers.pool import Workers
from pipeline.records import Document, Rejection

WORTH_WORKERS_BYTES = 6_000_000
"""What takes one process a few times as long to read and to cut as it takes others to start."""
FOREIGN_BYTES = 2
"""As how many bytes of text one counts that a parser reads: HTML took 2.2 times as long a byte as Markdown."""


def read_documents(
    files: Iterable[SourceFile], settings: IngestSettings, reject: Callable[[Rejection], None]
) -> Iterator[Document]:
    """The documents of `files`, in order, one at a time in memory; `reject` is called for what gives none."""
    for document in read_sources(files, settings, reject):
        assert isinstance(document, Document)
        yield document


def read_sources(
    files: Iterable[SourceFile],
    settings: IngestSettings,
    reject: Callable[[Rejection], None],
    ledger: Ledger | None = None,
    unread: Callable[[str, int], None] = lambda label, documents: None,
    workers: Workers | None = None,
) -> Generator[ReadDocument, None, None]:
    """The documents of `files`, in order, one at a time in memory.

    A file that is unchanged by the `ledger` is not read: `unread` is called with its label, and how many it has.
    Nor is one that it knows to be cut already: its documents are as if workers had cut them.

    `reject` is called for each file, line or row that gives no document: unreadable, empty, or with an id that an
    earlier document has.

    `workers`: processes that read and cut, where there is much to read: their documents are cut already.
    """
    ids = _Ids()
    ledger = ledger or Ledger(settings)
    with ExitStack() as stack:
        guard = stack.enter_context(Guard(settings.document_seconds))
        parser = stack.enter_context(ParserProcess(settings))

        def read_here(file: SourceFile) -> Iterator[Outcome]:
            return _outcomes(file, settings, guard, parser)

        turns = stack.enter_context(closing(_turns(iter(files), settings, ledger, guard, read_here, workers)))
        for turn in turns:
            file, look, looked_at, outcomes = turn.file, turn.look, turn.looked_at, turn.outcomes
            if outcomes is None:
                known = ledger.unchanged(file)
                if known is not None:
                    unread(file.label, known)
                    continue
                look, looked_at = ledger.look(file)
                outcomes = ledger.cut_before(file, look) or read_here(file)
            ids.next_file(file.label)
            contents, found, rejected = Contents(), False, False
            for outcome in outcomes:
                found = True
                document = _accepted(outcome, ids, ledger, contents)
                if isinstance(document, str):
                    rejected = True
                    reject(Rejection(file.label, one_line(document), outcome.line or None))
                else:
                    yield replace(document, source=file.label, line=outcome.line or None)
            if not found:
                reject(Rejection(file.label, "empty"))
            elif not rejected:
                ledger.note(file, look, looked_at, contents)


def _turns(
    files: Iterator[SourceFile],
    settings: IngestSettings,
    ledger: Ledger,
    guard: Guard,
    read_here: ReadHere,
    workers: Workers | None,
) -> Generator[Turn, None, None]:
    """The files one by one; handed to workers ahead from where there is enough to read to be worth their start."""
    to_read = 0
    for file in files:
        if workers is not None and not ledger.looks_unchanged(file):
            to_read += file_bytes(file) * (FOREIGN_BYTES if file.suffix in FOREIGN else 1)
            if to_read >= WORTH_WORKERS_BYTES:
                with workers.pool() as pool:
                    ahead = ReadAhead(pool, settings, ledger, guard, read_here)
                    yield from ahead.turns(chain([file], files))
                return
        yield Turn(file)


def _outcomes(file: SourceFile, settings: IngestSettings, guard: Guard, parser: ParserProcess) -> Iterator[Outcome]:
    if file.suffix in FOREIGN and file.problem is None:
        return Guard(None).outcomes(file.label, parser.read(file))  # which keeps to the limit itself
    return guard.outcomes(file.label, read_file(file, settings))


def _accepted(outcome: Outcome, ids: _Ids, ledger: Ledger, contents: Contents) -> ReadDocument | str:
    """The document, noted in `ids`, `ledger` and `contents`, or why it is rejected."""
    document = outcome.result
    if isinstance(document, UnreadableError):
        return str(document)
    if isinstance(document, Document) and not document.text.strip() and not document.chunks:
        return "empty"
    earlier = ledger.claim(document.doc_id) or ids.add(document.doc_id, outcome.line)
    if earlier is not None:
        return f"duplicate id {document.doc_id!r}; the first is at {earlier}"
    contents.add(document.doc_id, document.content_hash)
    return document


class _Ids:
    """Where each id was first seen: a 64-bit digest and two numbers a document, not its name."""

    def __init__(self) -> None:
        self._labels: list[str] = []
        self._places: dict[int, int] = {}

    def next_file(self, label: str) -> None:
        """Ids added from now on are those of this file."""
        self._labels.append(label)

    def add(self, doc_id: str, line: int) -> str | None:
        """The place where `doc_id` was seen before, or `None` and it is remembered."""
        key = _key(doc_id)
        here = (len(self._labels) - 1) << 40 | line
        place = self._places.setdefault(key, here)
        if place == here:
            return None
        return Rejection(self._labels[place >> 40], "", (place & (1 << 40) - 1) or None).source


def _key(doc_id: str) -> int:
    digest = hashlib.blake2b(doc_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
