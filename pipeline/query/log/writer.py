"""Appends what was asked to a file of lines, from many threads and processes, without breaking a search."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.config import QuerySettings
from pipeline.index import files
from pipeline.names import HYBRID
from pipeline.query.request import SearchRequest
from pipeline.records import Hit

log = logging.getLogger(__name__)

FOLDER, NAME = "queries", "queries.jsonl"
KEPT = 4
"""Full files that are kept beside the one that is written: `queries-00000001.jsonl` is older than the next."""
LISTED = 10
"""Of how many hits the documents are listed."""


def log_folder(index: Path) -> Path:
    """Where the log of an index stands."""
    return index / FOLDER


def text_hash(text: str) -> str:
    """What stands for a text in a log without texts. Whoever guesses a text can tell that it was asked."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class QueryLog:
    """The log of one index. A failure to write is one warning for each process, and nothing else."""

    def __init__(self, index: Path, settings: QuerySettings) -> None:
        self._folder, self._with_text = log_folder(index), settings.log_text
        self._most_bytes = int(settings.log_megabytes * 1e6)
        self._warned = False

    def add(self, request: SearchRequest, found: Sequence[Sequence[Hit]], seconds: float, generation: int) -> None:
        """Append a line for each text of a request. `seconds`: that all of them took together."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        milliseconds = round(1000 * seconds / max(len(found), 1), 3)
        lines = []
        for text, hits in zip(request.texts, found, strict=True):
            record: dict[str, object] = {"at": at}
            record |= {"query": text} if self._with_text else {"hash": text_hash(text)}
            record |= {
                "ms": milliseconds,
                "generation": generation,
                "mode": HYBRID if len(request.legs) > 1 else request.legs[0],
                "k": request.k,
                "hits": len(hits),
                "documents": list(dict.fromkeys(hit.doc_id for hit in hits))[:LISTED],
            }
            if request.where is not None and self._with_text:
                record["filter"] = request.where
            lines.append(json.dumps(record, ensure_ascii=False))
        try:
            self._append("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
        except OSError as error:
            if not self._warned:
                self._warned = True
                log.warning("%s: queries are not logged: %s", self._folder, error.strerror or error)

    def _append(self, data: bytes) -> None:
        path = self._folder / NAME
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with self._locked():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size >= self._most_bytes:
                    self._rotate(path)
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                before = os.fstat(handle).st_size
                if before and os.pread(handle, 1, before - 1) != b"\n":
                    data = b"\n" + data  # a power cut left half a line
                try:
                    written = 0
                    while written < len(data):
                        written += os.write(handle, data[written:])
                except OSError:
                    with contextlib.suppress(OSError):
                        os.ftruncate(handle, before)  # no half a line before the next one
                    raise
            finally:
                os.close(handle)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the log against other threads and processes: each opens the lock anew, so that threads wait too."""
        handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _rotate(self, path: Path) -> None:
        full = rotated(self._folder)
        number = int(full[-1].stem.rsplit("-", 1)[1]) + 1 if full else 1
        files.replace_file(path, path.with_name(f"queries-{number:08d}.jsonl"))
        for old in full[: max(len(full) + 1 - KEPT, 0)]:
            old.unlink(missing_ok=True)


def rotated(folder: Path) -> list[Path]:
    """The full files of a log, the oldest first."""
    return sorted(folder.glob("queries-[0-9]*.jsonl"))
