"""The ingest stage: documents → staged parts of chunks, for what is new or changed."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from pipeline.errors import IndexStoreError
from pipeline.index import files, staging
from pipeline.index.chunks import write_table
from pipeline.index.cut.before import CutBefore
from pipeline.index.cut.parts import PART_GROUP_ROWS, CutParts, forget, part_name
from pipeline.index.given.staged import write_given
from pipeline.index.live import LiveDocument, LiveDocuments
from pipeline.index.manifest import FileEntry
from pipeline.index.schemas import CHUNK_SCHEMA
from pipeline.index.segment import file_entry
from pipeline.index.staging import Changes, StagedIngest
from pipeline.ingest.cutting.contract import DocumentChunker
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.guard import ChunkRows, CutDocument, Guard, ReadDocument, one_line
from pipeline.ingest.ledger import Ledger
from pipeline.ingest.parts import Part, Parts
from pipeline.records import Chunk, Document, Rejection

REJECTS = "rejects"
KEEP_SECONDS = 30.0
"""So often the chunks of a part that is not full are kept too, for an ingest that goes on after this one."""


class IngestRun:
    """One pass over the sources, compared with what is live. Memory: one part, and the ids of all documents."""

    def __init__(
        self,
        live: LiveDocuments,
        document_seconds: float | None = None,
        cut_before: CutBefore | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """`live`: the documents of the generation that the new one will follow; empty for a full build.

        `document_seconds`: how long cutting one document may take. `cut_before`: what need not be cut again.
        `ledger`: what is noted there of files is kept with their chunks.
        """
        self._live, self._cut_before, self._ledger = live, cut_before, ledger
        self._guard = Guard(document_seconds)
        self._unread: set[str] = set()
        self._seen: set[str] = set()
        self._uncut: set[str] = set()
        self._arrivals: list[tuple[str, str]] = []
        self.rejections: list[Rejection] = []
        self.read = self.added = self.changed = self.unchanged = 0

    def reject(self, rejection: Rejection) -> None:
        """Note a document that could not be read."""
        self.rejections.append(rejection)

    def unread(self, label: str, documents: int) -> None:
        """Note a file that is unchanged and was not read, and how many documents it has."""
        self._unread.add(label)
        self.read += documents
        self.unchanged += documents

    def fresh(self, documents: Iterable[ReadDocument]) -> Iterator[ReadDocument]:
        """The documents that are new or changed, or stand in another file: `gone` must know the right one."""
        for document in documents:
            self.read += 1
            self._seen.add(document.doc_id)
            if self._is_live(document):
                self.unchanged += 1
            else:
                yield document

    def _is_live(self, document: ReadDocument) -> bool:
        if isinstance(document, CutDocument) and (document.chunks is not None or not self._cut_before):
            return document.chunks is None
        old = self._live.get(document.doc_id)
        return old is not None and (old.content_hash, old.source) == (document.content_hash, document.source)

    def _absent(self) -> dict[str, LiveDocument]:
        """Live documents that no file has given."""
        elsewhere = self._live.elsewhere(self._unread)
        return {doc_id: document for doc_id, document in elsewhere.items() if doc_id not in self._seen}

    def gone(self) -> list[str]:
        """Live documents that the sources no longer have.

        A document of a file or folder that was rejected, wholly or in part, is not gone: its last version stays.
        So does that of one which could not be cut.
        """
        rejected = {rejection.file.rstrip("/") for rejection in self.rejections}
        return sorted(
            doc_id
            for doc_id, document in self._absent().items()
            if doc_id not in self._uncut and rejected.isdisjoint(_with_parents(document.source))
        )

    def moved(self, gone: Iterable[str]) -> list[tuple[str, str]]:
        """Old and new id of each document that is gone while a new one has the same content."""
        leavers: dict[str, list[str]] = {}
        for doc_id in gone:
            leavers.setdefault(self._live[doc_id].content_hash, []).append(doc_id)
        pairs = []
        for doc_id, content_hash in self._arrivals:
            if leavers.get(content_hash):
                pairs.append((leavers[content_hash].pop(0), doc_id))
        return sorted(pairs)

    def stage(
        self,
        index: Path,
        documents: Iterable[ReadDocument],
        chunker: DocumentChunker,
        shard_chunks: int,
        base_generation: int,
        full: bool,
    ) -> StagedIngest:
        """Write the chunks of new and changed documents in parts of `shard_chunks`; complete or not at all."""
        total = 0
        replaced: list[str] = []
        with files.new_folder(staging.ingest_folder(index)) as folder:
            kept = CutParts(index, chunker.fingerprint)
            parts: list[FileEntry] = []
            given: list[FileEntry] = []
            count = 0
            for part in self._parts(documents, chunker, replaced, shard_chunks):
                path = folder / part_name(count)
                if not part.given:
                    looks = self._ledger.fresh() if self._ledger else None
                    kept.keep(count, part.table, looks, so_far=not part.is_full)
                elif part.is_full:
                    write_table(path, [part.table], CHUNK_SCHEMA, group_rows=PART_GROUP_ROWS)
                    parts.append(file_entry(path))
                    if (vectors := write_given(path, part.given)) is not None:
                        given.append(file_entry(vectors))
                if part.is_full:
                    total += len(part.table)
                    count += 1
            parts += kept.move(folder)
            gone = self.gone()
            moved = self.moved(gone)
            staged = StagedIngest(
                base_generation=base_generation,
                full=full,
                parts=tuple(sorted(parts, key=lambda part: part.name)),
                chunks=total,
                chunker=dict(chunker.fingerprint.fields),
                read=self.read,
                changes=Changes(
                    added=self.added - len(moved),
                    changed=self.changed,
                    unchanged=self.unchanged,
                    deleted=len(gone) - len(moved),
                    moved=tuple(moved),
                ),
                held=len(self._absent()) - len(gone),
                rejected=len(self.rejections),
                removed=tuple(sorted([*gone, *replaced])),
                given=tuple(given),
            )
            staging.save_ingest(folder, staged)
        forget(index)
        return staged

    def _parts(
        self,
        documents: Iterable[ReadDocument],
        chunker: DocumentChunker,
        replaced: list[str],
        shard_chunks: int,
    ) -> Iterator[Part]:
        parts, due = Parts(shard_chunks), time.monotonic() + KEEP_SECONDS
        for document in self.fresh(documents):
            yield from parts.add(self._cut(document, chunker, replaced))
            if time.monotonic() >= due:
                if (so_far := parts.so_far()) is not None:
                    yield so_far
                due = time.monotonic() + KEEP_SECONDS
        if (rest := parts.rest()) is not None:
            yield rest

    @cached_property
    def _live_hashes(self) -> set[str]:
        return {document.content_hash for document in self._live.values()}

    def _cut(
        self, document: ReadDocument, chunker: DocumentChunker, replaced: list[str]
    ) -> Sequence[Chunk] | ChunkRows:
        """The chunks of a document, which then counts as added or changed. One that cannot be cut is rejected."""
        rejection = Rejection(document.source, "", document.line)
        try:
            pieces = self._pieces(document, chunker, rejection.source)
        except UnreadableError as error:
            self._seen.remove(document.doc_id)
            self._uncut.add(document.doc_id)
            self.reject(dataclasses.replace(rejection, reason=one_line(f"cannot be cut into chunks: {error}")))
            return []
        if document.doc_id in self._live:
            self.changed += 1
            replaced.append(document.doc_id)
        else:
            self.added += 1
            if document.content_hash in self._live_hashes:
                self._arrivals.append((document.doc_id, document.content_hash))
        return pieces

    def _pieces(self, document: ReadDocument, chunker: DocumentChunker, place: str) -> Sequence[Chunk] | ChunkRows:
        """Raises `UnreadableError` if it cannot be cut, here or where it was tried."""
        if self._cut_before and not (isinstance(document, Document) and document.chunks):
            rows = self._cut_before.rows(document.doc_id, document.content_hash, document.source)
            if rows is not None:
                return ChunkRows(*rows)
        if isinstance(document, Document):
            with self._guard:
                return self._guard.run(lambda: place, lambda: list(chunker.chunk(document)))
        if isinstance(document.chunks, UnreadableError):
            raise document.chunks
        return document.chunks or ()


def _with_parents(source: str) -> set[str]:
    parts = source.split("/")
    return {"/".join(parts[:length]) for length in range(1, len(parts) + 1)}


def save_rejections(index: Path, generation: int, rejections: Sequence[Rejection]) -> Path | None:
    """List what was rejected while building `generation`, one JSON object a line; a list of an earlier try goes.

    Returns the file's path, or `None` if nothing was rejected.
    """
    path = index / REJECTS / f"{generation:08d}.jsonl"
    if not rejections:
        path.unlink(missing_ok=True)
        return None
    lines = [json.dumps({"source": r.source, "reason": r.reason}, ensure_ascii=False) for r in rejections]
    files.write_file(path, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    return path


def load_rejections(index: Path, generation: int) -> tuple[tuple[Rejection, ...], Path]:
    """Read what `save_rejections` listed, with its file. Raises `IndexStoreError`."""
    path = index / REJECTS / f"{generation:08d}.jsonl"
    try:
        found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return tuple(Rejection(one["source"], one["reason"]) for one in found), path
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise IndexStoreError(f"{path}: cannot be read ({error}); run `pipeline ingest` again") from None
