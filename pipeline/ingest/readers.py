"""Files → documents. A file ends as documents or as a rejection with one line of reason; none stops the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from pipeline.config import IngestSettings
from pipeline.ingest.columnar import read_parquet
from pipeline.ingest.decoding import UnreadableError
from pipeline.ingest.ledger import Contents, Ledger
from pipeline.ingest.lines import Found, RejectRecord, read_csv, read_jsonl
from pipeline.ingest.office import read_office
from pipeline.ingest.sources import DOCS_SUFFIXES, SUFFIXES, SourceFile, describe_os_error
from pipeline.ingest.sources import discover as discover
from pipeline.ingest.whole import read_markdown, read_text
from pipeline.records import Document, Rejection

Reader = Callable[[SourceFile, IngestSettings, RejectRecord], Iterator[Found]]

READERS: dict[str, Reader] = {
    ".txt": read_text,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    **dict.fromkeys(DOCS_SUFFIXES, read_office),
}

REASON_CHARS = 400


def read_documents(
    files: Iterable[SourceFile],
    settings: IngestSettings,
    reject: Callable[[Rejection], None],
    ledger: Ledger | None = None,
    unread: Callable[[Sequence[str]], None] = lambda doc_ids: None,
) -> Iterator[Document]:
    """The documents of `files`, in order, one at a time in memory.

    A file that is unchanged by the `ledger` is not read: `unread` is called with the ids of its documents.

    `reject` is called for each file, line or row that gives no document: unreadable, empty, or with an id that an
    earlier document has.
    """
    ids = _Ids()
    ledger = ledger or Ledger(settings)
    for file in files:
        ids.next_file(file.label)
        look, looked_at = ledger.look(file)
        known = ledger.unchanged(file, look)
        if known is not None and ids.add_new(known):
            ledger.keep(file)
            unread(known)
            continue
        contents = Contents()
        rejected = False

        def reject_at(line: int, reason: str, label: str = file.label) -> None:
            nonlocal rejected
            rejected = True
            reject(Rejection(label, _one_line(reason), line or None))

        found = False
        try:
            for line, document in _read(file, settings, reject_at):
                found = True
                if not document.text.strip():
                    reject_at(line, "empty")
                elif (earlier := ids.add(document.doc_id, line)) is not None:
                    reject_at(line, f"duplicate id {document.doc_id!r}; the first is at {earlier}")
                else:
                    contents.add(document.doc_id, document.content_hash)
                    yield replace(document, source=file.label)
            if not found and not rejected:
                reject_at(0, "empty")
            if not rejected:
                ledger.note(file, look, looked_at, contents)
        except UnreadableError as error:
            reject_at(0, str(error))
        except OSError as error:
            reject_at(0, describe_os_error(error))


def _read(file: SourceFile, settings: IngestSettings, reject: RejectRecord) -> Iterator[Found]:
    if file.problem is not None:
        raise UnreadableError(file.problem)
    reader = READERS.get(file.suffix)
    if reader is None:
        known = " ".join(sorted(SUFFIXES))
        raise UnreadableError(
            f"no reader for {file.suffix or 'a file without suffix'}; there are readers for {known}"
        )
    yield from reader(file, settings, reject)


class _Ids:
    """Where each id was first seen: a 64-bit digest and two numbers a document, not its name."""

    def __init__(self) -> None:
        self._labels: list[str] = []
        self._places: dict[int, int] = {}

    def next_file(self, label: str) -> None:
        """Ids added from now on are those of this file."""
        self._labels.append(label)

    def add_new(self, doc_ids: Sequence[str]) -> bool:
        """Remember all of them, unless one was seen before; says which."""
        if any(_key(doc_id) in self._places for doc_id in doc_ids):
            return False
        return all(self.add(doc_id, 0) is None for doc_id in doc_ids)

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


def _one_line(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= REASON_CHARS else line[: REASON_CHARS - 1] + "…"
