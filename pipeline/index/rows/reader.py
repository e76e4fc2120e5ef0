"""Random access to the rows of a segment: a hit costs one small block, an id no block at all."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.rows.layout import (
    BLOCK,
    BLOCK_ROWS,
    CELL_ENDS,
    CELLS,
    CODEC,
    ENDS,
    HEADER_BYTES,
    MOST_EXPANSION,
    ROW,
    ROWS_FILE,
    START,
    VERSION,
    Layout,
    cells_at,
    layout_of,
    texts_at,
    version_of,
)
from pipeline.records import Chunk

Rows = npt.NDArray[np.int64]

_MEND = "`pipeline repair` rebuilds it"
_MANY = 32
_TEXT, _CONTEXT, _HEADINGS, _SOURCE, _DOC_HASH, _METADATA = range(len(CELLS))


class ChunkRows(Protocol):
    """Random access to the chunks of a segment by row, for any number of threads. Raises `CorruptIndexError`."""

    def fetch(self, rows: Sequence[int]) -> list[Chunk]:
        """The chunks in these rows, in the order asked for."""

    def chunk_ids(self, rows: Sequence[int]) -> list[str]:
        """Their ids."""

    def doc_ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of their documents."""

    def rows_of(self, doc_id: str) -> Rows:
        """The rows of a document's chunks, ascending; none if it has none here."""


class RowFile:
    """The file of rows, mapped. Every number that leads to another place is checked before it is followed."""

    def __init__(self, path: Path, mapped: memoryview, layout: Layout) -> None:
        """Use `open_rows`."""
        self.path = path
        self._map, self._layout = mapped, layout
        self._blocks_at, self._rows_at = layout.blocks_end, layout.rows
        self._codec = pa.Codec(CODEC)
        self._own_rows: npt.NDArray[np.uint32] = np.frombuffer(mapped, "<u4", layout.own, layout.own_rows)
        self._rows = np.frombuffer(mapped, "<u4", 2 * layout.chunks, layout.rows).reshape(-1, 2)
        self._ends = np.frombuffer(mapped, "<u8", layout.documents + 1, layout.document_ends)

    def fetch(self, rows: Sequence[int]) -> list[Chunk]:
        """The chunks in these rows, in the order asked for."""
        found: list[Chunk] = []
        held, raw = -1, memoryview(b"")
        for row in rows:
            self._check(row)
            block, place = divmod(row, BLOCK_ROWS)
            try:
                if block != held:
                    held, raw = block, self._block(row, block)
                found.append(self._chunk(row, place, raw))
            except (ValueError, RecursionError, struct.error) as error:
                raise self._malformed(row, str(error)) from None
        return found

    def chunk_ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of the chunks in these rows."""
        found = self._many_ids(rows) if len(rows) >= _MANY and not self._layout.own else None
        return [self._known(row)[0] for row in rows] if found is None else found

    def doc_ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of their documents."""
        return [self._known(row)[1] for row in rows]

    def rows_of(self, doc_id: str) -> Rows:
        """The rows of a document's chunks, ascending."""
        layout, wanted = self._layout, doc_id.encode("utf-8", "surrogatepass")
        ends = self._ends.astype(np.int64)
        found = np.flatnonzero(
            (np.diff(ends) == len(wanted)) & (ends[:-1] >= 0) & (ends[1:] <= layout.document_bytes)
        )
        ids = np.frombuffer(self._map, np.uint8, layout.document_bytes, layout.document_ids)
        for place in reversed(range(len(wanted))):  # ids differ at their end, mostly
            found = found[ids[ends[found] + place] == wanted[place]]
        return np.flatnonzero(np.isin(self._rows[:, 0], found.astype(np.uint32)))

    def _many_ids(self, rows: Sequence[int]) -> list[str] | None:
        """The same for many rows in a third of the time; `None` if one of them is malformed, to be found singly."""
        layout, picked = self._layout, np.asarray(rows, np.int64)
        if picked.min() < 0 or picked.max() >= layout.chunks:
            return None
        documents = self._rows[picked, 0]
        if documents.max() >= layout.documents:
            return None
        starts, ends = self._ends[documents], self._ends[documents + np.uint32(1)]
        if (starts > ends).any() or ends.max() > layout.document_bytes:
            return None
        ids = self._map[layout.document_ids :]
        places = zip(starts.tolist(), ends.tolist(), self._rows[picked, 1].view("<i4").tolist(), strict=True)
        try:
            return [f"{str(ids[start:end], 'utf-8')}#{ordinal}" for start, end, ordinal in places]
        except ValueError:
            return None

    def _known(self, row: int) -> tuple[str, str, int]:
        self._check(row)
        return self._ids(row)

    def _check(self, row: int) -> None:
        if not 0 <= row < self._layout.chunks:
            raise self._malformed(row, f"there are {self._layout.chunks}")

    def _ids(self, row: int) -> tuple[str, str, int]:
        """Chunk id, document id, and the chunk's ordinal in its document."""
        layout = self._layout
        document, ordinal = ROW.unpack_from(self._map, self._rows_at + ROW.size * row)
        if document >= layout.documents:
            raise self._malformed(row, f"document {document} of {layout.documents}")
        doc_id = self._id(row, layout.document_ends + 8 * document, layout.document_ids, layout.document_bytes)
        if layout.own:
            own = int(np.searchsorted(self._own_rows, row))
            if own < layout.own and self._own_rows[own] == row:
                at = layout.own_ends + 8 * own
                return self._id(row, at, layout.own_ids, layout.own_bytes), doc_id, ordinal
        return f"{doc_id}#{ordinal}", doc_id, ordinal

    def _id(self, row: int, ends: int, ids: int, size: int) -> str:
        start, end = ENDS.unpack_from(self._map, ends)
        if not start <= end <= size:
            raise self._malformed(row, f"an id from {start} to {end} of {size} bytes")
        try:
            return str(self._map[ids + start : ids + end], "utf-8")
        except ValueError as error:
            raise self._malformed(row, str(error)) from None

    def _block(self, row: int, block: int) -> memoryview:
        layout = self._layout
        at, stored, size, expected = BLOCK.unpack_from(self._map, self._blocks_at + BLOCK.size * block)
        if (
            not HEADER_BYTES <= at <= at + stored <= layout.blocks_end
            or not stored <= size <= MOST_EXPANSION * stored
        ):
            raise self._malformed(row, f"{stored} bytes from {at}, for {size}")
        raw = self._map[at : at + stored]
        if stored < size:
            try:
                raw = memoryview(self._codec.decompress(raw, size, asbytes=True))
            except (pa.ArrowException, OSError) as error:
                raise files.damage(error, self._reason(row, str(error))) from None
        if xxhash.xxh3_64_intdigest(raw) != expected:
            raise self._malformed(row, "its checksum does not match")
        return raw

    def _chunk(self, row: int, place: int, raw: memoryview) -> Chunk:
        rows = min(BLOCK_ROWS, self._layout.chunks - row + place)
        first, table = texts_at(rows), cells_at(rows)
        cells = []
        for column in range(len(CELLS)):
            start, end = CELL_ENDS.unpack_from(raw, table + 4 * (column * rows + place))
            if not first <= start <= end <= len(raw):
                raise ValueError(f"a text from {start} to {end} of {len(raw)} bytes")
            cells.append(str(raw[start:end], "utf-8"))
        chunk_id, doc_id, ordinal = self._ids(row)
        headings = json.loads(cells[_HEADINGS]) if cells[_HEADINGS] else []
        metadata = json.loads(cells[_METADATA])
        if not isinstance(headings, list):
            raise ValueError("its headings are no list")
        if not isinstance(metadata, dict):
            raise ValueError("its metadata is no object")
        return Chunk(
            chunk_id=chunk_id,
            doc_id=doc_id,
            ordinal=ordinal,
            start=START.unpack_from(raw, START.size * place)[0],
            end=START.unpack_from(raw, START.size * (rows + place))[0],
            text=cells[_TEXT],
            headings=tuple(headings),
            metadata=metadata,
            doc_hash=cells[_DOC_HASH],
            source=cells[_SOURCE],
            context=cells[_CONTEXT],
        )

    def _reason(self, row: int, reason: str) -> str:
        return f"{self.path}: row {row} is malformed ({reason}); {_MEND}"

    def _malformed(self, row: int, reason: str) -> CorruptIndexError:
        return CorruptIndexError(self._reason(row, reason))


def open_rows(folder: Path, chunks: int) -> RowFile | None:
    """Map the rows of a segment of so many chunks; `None` for a file of another version.

    Raises `CorruptIndexError`, and `MemoryError` if there is no room to map it.
    """
    path = folder / ROWS_FILE
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise files.damage(error, f"{path}: cannot be read ({error}); {_MEND}") from None
    header = mapped[:HEADER_BYTES]
    version = version_of(header)
    if version is None:
        raise CorruptIndexError(f"{path}: not a file of rows; {_MEND}")
    if version != VERSION:
        return None
    layout = layout_of(header)
    if layout is None:
        raise CorruptIndexError(f"{path}: its header was altered; {_MEND}")
    if layout.chunks != chunks:
        raise CorruptIndexError(f"{path}: {layout.chunks} chunks where the manifest says {chunks}; {_MEND}")
    if layout.size != len(mapped):
        raise CorruptIndexError(f"{path}: {len(mapped)} bytes where its header says {layout.size}; {_MEND}")
    return RowFile(path, memoryview(mapped), layout)
