"""What source files looked like when they were last read, so that one that looks the same need not be read again.

Nothing here is evidence of content: a file is taken as unchanged only if its size and times are those recorded, and
the documents that it gave then are, by content hash, those that the live generation has of it. A file that was
written about when it was read may have changed since within the resolution of its time stamp; it is not recorded.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import IngestSettings
from pipeline.index import files
from pipeline.index.store import LiveDocument
from pipeline.ingest.sources import SourceFile

log = logging.getLogger(__name__)

LEDGER_FILE = "sources.parquet"
READERS_VERSION = 1
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

    @classmethod
    def at(cls, file: SourceFile, settings: IngestSettings) -> Look | None:
        """Return the look of a file as it is now; `None` if there is none."""
        try:
            status = file.path.stat()
        except OSError:
            return None
        read_with = settings.model_dump(exclude={"document_seconds"})  # which changes no document
        text = f"{READERS_VERSION}\n{file.suffix}\n{file.name}\n{file.source!r}\n{read_with!r}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, digest)

    def is_settled(self, now_ns: int) -> bool:
        """Whether a later change would show in the time stamps."""
        return max(self.mtime_ns, self.ctime_ns) + RACY_NS < now_ns


class Contents:
    """128 bits over the ids and content hashes of a file's documents, in whatever order they come."""

    def __init__(self) -> None:
        self._total = 0

    def add(self, doc_id: str, content_hash: str) -> None:
        """One more document."""
        payload = f"{content_hash}{doc_id}".encode("utf-8", "surrogatepass")
        self._total += int.from_bytes(hashlib.blake2b(payload, digest_size=16).digest(), "little")

    @property
    def digest(self) -> bytes:
        """Digest of all that were added."""
        return (self._total % (1 << 128)).to_bytes(16, "little")


class Ledger:
    """The record of one index. Memory: some hundred bytes a file, and the ids of the live documents by file."""

    def __init__(
        self,
        settings: IngestSettings,
        known: Mapping[str, tuple[Look, bytes]] | None = None,
        live: Mapping[str, LiveDocument] | None = None,
    ) -> None:
        """`known`: what was recorded, by file; with none, every file is read."""
        self._settings, self._known = settings, known or {}
        self._live = live or {}
        self._of_file: dict[str, list[str]] = {}
        for doc_id, document in self._live.items() if known else ():
            self._of_file.setdefault(document.source, []).append(doc_id)
        self._noted: dict[str, tuple[Look, bytes]] = {}

    def look(self, file: SourceFile) -> tuple[Look | None, int]:
        """What a file looks like, and the time of the look, ns."""
        now = time.time_ns()
        return Look.at(file, self._settings), now

    def unchanged(self, file: SourceFile, look: Look | None) -> list[str] | None:
        """The ids of the file's documents if it need not be read."""
        known = self._known.get(file.label)
        if known is None or look is None or known[0] != look:
            return None
        doc_ids, contents = self._of_file.get(file.label, []), Contents()
        for doc_id in doc_ids:
            contents.add(doc_id, self._live[doc_id].content_hash)
        return doc_ids if contents.digest == known[1] else None

    def keep(self, file: SourceFile) -> None:
        """Note that a file was not read."""
        self._noted[file.label] = self._known[file.label]

    def note(self, file: SourceFile, look: Look | None, at_ns: int, contents: Contents) -> None:
        """Note what a file gave that was read after `look`, unless it changed meanwhile or may yet unseen."""
        if look is not None and look.is_settled(at_ns) and Look.at(file, self._settings) == look:
            self._noted[file.label] = (look, contents.digest)

    def save(self, index: Path) -> None:
        """Write what was noted in this run, if it is anything new."""
        if self._noted == self._known:
            return
        rows = [(label, *entry) for label, entry in sorted(self._noted.items())]
        columns = [
            [label for label, _, _ in rows],
            [look.size for _, look, _ in rows],
            [look.mtime_ns for _, look, _ in rows],
            [look.ctime_ns for _, look, _ in rows],
            [look.settings for _, look, _ in rows],
            [digest for _, _, digest in rows],
        ]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns, schema=_SCHEMA), sink, compression="zstd", write_page_checksum=True)
        files.write_file(index / LEDGER_FILE, sink.getvalue().to_pybytes())


def load_ledger(index: Path) -> dict[str, tuple[Look, bytes]]:
    """What was recorded, by file. A record that is missing or damaged is an empty one: every file is read."""
    path = index / LEDGER_FILE
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        table.validate(full=True)
        if not table.schema.equals(_SCHEMA):
            raise ValueError("unexpected columns")
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        return {label: (Look(size, mtime, ctime, settings), d) for label, size, mtime, ctime, settings, d in rows}
    except (pa.ArrowException, OSError, ValueError) as error:
        log.warning("%s: cannot be used (%s); every source file is read", path, error)
        return {}
