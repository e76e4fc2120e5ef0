"""What source files looked like when they were last read, so that one that looks the same need not be read again.

Nothing here is evidence of content: a file is taken as unchanged only if its size and times are those recorded, and
the documents that it gave then are, by content hash, those that the live generation has of it. A file that was
written about when it was read may have changed since within the resolution of its time stamp; it is not recorded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import IngestSettings, SourceSettings
from pipeline.index import files
from pipeline.index.live import Contents, LiveDocuments
from pipeline.ingest.formats.ocr.installed import ocr_identity
from pipeline.ingest.guard import Outcome
from pipeline.ingest.sources import SourceFile

log = logging.getLogger(__name__)

LEDGER_FILE = "sources.parquet"
READERS_VERSION = 6
"""To be raised when a reader gives another text for the same bytes."""
RACY_NS = 2_000_000_000
"""The coarsest time stamps of file systems in use (FAT) are two seconds apart."""

_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("ctime_ns", pa.int64(), nullable=False),
        pa.field("settings", pa.binary(8), nullable=False),
        pa.field("documents", pa.binary(16), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a file looks like from outside, and the settings that it is read with."""

    size: int
    mtime_ns: int
    ctime_ns: int
    settings: bytes

    def is_settled(self, now_ns: int) -> bool:
        """Whether a later change would show in the time stamps."""
        return max(self.mtime_ns, self.ctime_ns) + RACY_NS < now_ns


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record of an index, by columns."""

    table: pa.Table
    row: dict[str, int]
    size: list[int]
    mtime_ns: list[int]
    ctime_ns: list[int]
    settings: list[bytes]
    contents: list[bytes]

    @classmethod
    def nothing(cls) -> Recorded:
        """No file is known."""
        return cls.of(_SCHEMA.empty_table())

    @classmethod
    def of(cls, table: pa.Table) -> Recorded:
        """Raises `ValueError` if it is no such table, or names a file twice."""
        if not table.schema.equals(_SCHEMA):
            raise ValueError("unexpected columns")
        labels, *columns = (column.to_pylist() for column in table.columns)
        rows = {label: i for i, label in enumerate(labels)}
        if len(rows) != len(labels):
            raise ValueError("names a file twice")
        return cls(table, rows, *columns)

    def looks(self) -> Iterator[tuple[str, Look, bytes]]:
        """Each file, what it looked like, and the digest of its documents."""
        columns = (self.row, self.size, self.mtime_ns, self.ctime_ns, self.settings, self.contents)
        for label, *look, digest in zip(*columns, strict=True):
            yield label, Look(*look), digest

    def documents(self, live: LiveDocuments) -> list[int]:
        """How many documents each file has, where the live ones are those that it gave; 0 where they are not."""
        of_file, found = live.by_source(), []
        for label, digest in zip(self.row, self.contents, strict=True):
            contents = of_file.get(label)
            found.append(contents.documents if contents is not None and contents.digest == digest else 0)
        return found


class ReadBefore(Protocol):
    """Files whose documents an ingest that did not end has cut, every one."""

    def looked(self, label: str) -> Look | None:
        """What a file looked like then, `None` if it is none of them."""

    def outcomes(self, label: str) -> Iterator[Outcome]:
        """Its documents, in order."""


class Ledger:
    """What is known of the source files, and what a run over them finds. Memory: some hundred bytes a file."""

    def __init__(
        self,
        settings: IngestSettings,
        known: Recorded | None = None,
        live: LiveDocuments | None = None,
        before: ReadBefore | None = None,
    ) -> None:
        """`known`: what was recorded; with nothing, every file is read, but for those of `before`."""
        known = known or Recorded.nothing()
        self._settings, self._known, self._live, self._before = settings, known, live, before
        self._ocr = ocr_identity(settings)
        self._documents = known.documents(live) if live is not None and known.row else []
        self._digests: dict[int, tuple[SourceSettings, bytes]] = {}
        self._kept: dict[str, int] = {}
        self._claimed: set[str] = set()
        self._noted: dict[str, tuple[Look, bytes]] = {}
        self._fresh: list[tuple[str, tuple[Look, bytes]]] = []

    def looks_unchanged(self, file: SourceFile) -> bool:
        """Whether a file need not be read, if no other file that comes before it gives one of its documents."""
        return self._is_live(file) or self._cut_before(file) is not None

    def cut_before(self, file: SourceFile, look: Look | None) -> Iterator[Outcome] | None:
        """The documents of a file that an ingest before has cut, and that looks as it did; `None`: read it."""
        if self._before is None or look is None or self._before.looked(file.label) != look:
            return None
        return self._before.outcomes(file.label)

    def _cut_before(self, file: SourceFile) -> Iterator[Outcome] | None:
        return self.cut_before(file, self.look(file)[0]) if self._before is not None else None

    def _is_live(self, file: SourceFile) -> bool:
        known, row = self._known, self._known.row.get(file.label)
        if row is None or not self._documents or not self._documents[row]:
            return False
        status = file.status or _status(file)
        return (
            status is not None
            and status.st_size == known.size[row]
            and status.st_mtime_ns == known.mtime_ns[row]
            and status.st_ctime_ns == known.ctime_ns[row]
            and known.settings[row] == self._read_with(file)
        )

    def unchanged(self, file: SourceFile) -> int | None:
        """How many documents a file has that need not be read, which is kept in the record; `None`: read it."""
        if file.label in self._claimed or not self._is_live(file):
            return None
        row = self._kept[file.label] = self._known.row[file.label]
        return self._documents[row]

    def claim(self, doc_id: str) -> str | None:
        """Note that a document was read; returns the file that was not read and has it, if there is one.

        A file that had it, and comes later, is read whatever it looks like.
        """
        if not self._documents or self._live is None:
            return None
        live = self._live.get(doc_id)
        if live is None:
            return None
        if live.source in self._kept:
            return live.source
        self._claimed.add(live.source)
        return None

    def look(self, file: SourceFile) -> tuple[Look | None, int]:
        """What a file looks like now, `None` if there is none; and the time of the look, ns."""
        now, status = time.time_ns(), _status(file)
        if status is None:
            return None, now
        return Look(status.st_size, status.st_mtime_ns, status.st_ctime_ns, self._read_with(file)), now

    def note(self, file: SourceFile, look: Look | None, at_ns: int, contents: Contents) -> None:
        """Note what a file gave that was read after `look`, unless it changed meanwhile or may yet unseen."""
        if look is not None and look.is_settled(at_ns) and self.look(file)[0] == look:
            noted = self._noted[file.label] = (look, contents.digest)
            self._fresh.append((file.label, noted))

    def fresh(self) -> pa.Table:
        """What was noted since this was asked last, as a table of files."""
        fresh, self._fresh = self._fresh, []
        return _table(fresh)

    def save(self, index: Path) -> None:
        """Write what was noted in this run, if it is anything new."""
        known = self._known.table
        if not self._noted and len(self._kept) == len(known):
            return
        fresh = _table(self._noted.items())
        table = pa.concat_tables([known.take(pa.array(self._kept.values(), pa.int64())), fresh]).sort_by("file")
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        files.write_file(index / LEDGER_FILE, sink.getvalue().to_pybytes())

    def _read_with(self, file: SourceFile) -> bytes:
        """Digest of all settings that decide what is read of a file."""
        source = file.source
        if (known := self._digests.get(id(source))) is None:
            read_with = self._settings.model_dump(exclude={"document_seconds", "processes"})  # change no document
            wanted = f"\n{file.wanted!r}" if file.wanted else ""
            text = f"{READERS_VERSION}\n{source!r}\n{read_with!r}\n{self._ocr}{wanted}"
            known = self._digests[id(source)] = (source, _digest(text))  # which keeps its id from being another's
        return _digest(f"{known[1].hex()}\n{dict(file.extra)!r}") if file.extra else known[1]


def _table(noted: Iterable[tuple[str, tuple[Look, bytes]]]) -> pa.Table:
    rows = [(label, *dataclasses.astuple(look), digest) for label, (look, digest) in noted]
    return pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * len(_SCHEMA), schema=_SCHEMA)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _status(file: SourceFile) -> os.stat_result | None:
    try:
        return file.path.stat()
    except OSError:
        return None


def load_ledger(index: Path) -> Recorded:
    """What was recorded. A record that is missing or damaged is an empty one: every file is read."""
    path = index / LEDGER_FILE
    if not path.exists():
        return Recorded.nothing()
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
        table.validate(full=True)
        return Recorded.of(table)
    except (pa.ArrowException, OSError, ValueError) as error:
        log.warning("%s: cannot be used (%s); every source file is read", path, error)
        return Recorded.nothing()
