"""The rows of a segment as a component of it, derived from its chunks."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.choices import DenseChoice
from pipeline.index.chunks import CHUNKS_FILE, ChunkStore, chunk_blocks
from pipeline.index.components.contract import Component, Finding, SegmentSource, Volume
from pipeline.index.components.rows import Place, SegmentShape
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.rows.layout import BLOCK_ROWS, ROWS_FILE
from pipeline.index.rows.reader import ChunkRows, RowFile, open_rows
from pipeline.index.schemas import table_to_chunks

log = logging.getLogger(__name__)

_BYTES_PER_TOKEN = 2
_BYTES_PER_CHUNK = 50
_OTHER_VERSION = "of another version of the format"
_COMPARED_ROWS = 256 * BLOCK_ROWS


class RowsComponent(Component[ChunkRows]):
    """Every segment that is written has it; one that has none, as it is older, reads its Parquet file instead."""

    name = "rows"
    file_names = (ROWS_FILE,)

    def is_wanted(self, shape: SegmentShape) -> bool:
        """Say yes."""
        return True

    def needed(self, manifest: Manifest, entry: SegmentEntry) -> tuple[str, ...]:
        """Return nothing: the chunks say the same, but slowly."""
        return ()

    def write(self, folder: Path, source: SegmentSource, shape: SegmentShape) -> None:
        """Write it from the chunks in the folder."""
        _derive(folder, folder)

    def open(self, place: Place, verified: bool) -> ChunkRows:
        """Map the file; the chunks' own where there is none, or one of another version."""
        if place.has(ROWS_FILE):
            found = open_rows(place.folder, place.entry.chunks)
            if found is not None:
                return found
            path = place.folder / ROWS_FILE
            log.warning(
                "%s: %s; %s is read instead, slowly, until `pipeline repair`", path, _OTHER_VERSION, CHUNKS_FILE
            )
        return ChunkStore(place.folder, place.entry.chunks)

    def identity(self, shape: SegmentShape) -> None:
        """Return nothing: it follows from the chunks."""

    def check(self, place: Place, manifest: Manifest) -> Iterator[Finding]:
        """Compare it with what the chunks give."""
        if not (place.is_sound(ROWS_FILE) and place.is_sound(CHUNKS_FILE)):
            return
        mine = open_rows(place.folder, place.entry.chunks)
        if mine is None:
            yield ROWS_FILE, f"{_OTHER_VERSION}; `pipeline repair` rebuilds it"
            return
        with tempfile.TemporaryDirectory(prefix="hybrid-pipeline-verify-") as name:
            _derive(place.folder, Path(name))
            if files.checksum(Path(name) / ROWS_FILE) == files.checksum(place.folder / ROWS_FILE):
                return
        if (row := _first_difference(mine, place.folder)) is not None:
            yield ROWS_FILE, f"row {row} differs from what {CHUNKS_FILE} gives; `pipeline repair` rebuilds it"

    def unusable(self, place: Place, manifest: Manifest) -> dict[str, str]:
        """Return why there is none, or none that this version reads."""
        if place.damaged & {ROWS_FILE, CHUNKS_FILE}:
            return {}
        if not place.has(ROWS_FILE):
            return {ROWS_FILE: "is not there: the segment was written before there were such files"}
        try:
            found = open_rows(place.folder, place.entry.chunks)
        except CorruptIndexError as error:
            return {ROWS_FILE: str(error).removeprefix(f"{place.folder / ROWS_FILE}: ").split(";")[0]}
        return {} if found is not None else {ROWS_FILE: _OTHER_VERSION}

    def rebuild(self, place: Place, into: Path, choice: DenseChoice) -> SegmentEntry:
        """Write it anew from the chunks."""
        if ROWS_FILE in place.damaged and place.is_sound(CHUNKS_FILE):
            _derive(place.folder, into)
        return place.entry

    def estimated_bytes(self, volume: Volume, shape: SegmentShape) -> int:
        """Estimate the size of its file."""
        return volume.tokens * _BYTES_PER_TOKEN + volume.chunks * _BYTES_PER_CHUNK


def _derive(folder: Path, into: Path) -> None:
    from pipeline.index.rows.writer import derive  # its libraries would be waited for by every search

    derive(folder, into)


def _first_difference(mine: RowFile, folder: Path) -> int | None:
    """The first row that is not the chunk there; another version of LZ4 may pack the same chunks otherwise."""
    done = 0
    for table in chunk_blocks(folder / CHUNKS_FILE, _COMPARED_ROWS):
        table.validate(full=True)
        chunks = table_to_chunks(table)
        rows = range(done, done + len(chunks))
        for row, one, other, chunk_id, doc_id in zip(
            rows, mine.fetch(rows), chunks, mine.chunk_ids(rows), mine.doc_ids(rows), strict=True
        ):
            if (one, chunk_id, doc_id) != (other, other.chunk_id, other.doc_id):
                return row
        done += len(chunks)
    return None


ROWS = RowsComponent()
