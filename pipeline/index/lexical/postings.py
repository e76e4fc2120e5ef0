"""The files of an inverted index: postings by token, memory-mapped, and the length of each chunk.

Postings are cut into tiles of 65,536 chunks so that the score accumulator of a tile stays in the processor's cache
and a chunk needs 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.schemas import POSTINGS_SCHEMA, as_array
from pipeline.records import Float32, SparseRows

POSTINGS_FILE = "postings.arrow"
LENGTHS_FILE = "lengths.npy"
TILE_CHUNKS = 65_536

Ordinals = npt.NDArray[np.int64]
TokenIds = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Tile:
    """The postings of up to `TILE_CHUNKS` chunks from `start` on. Chunks count from `start`."""

    start: int
    token_ids: TokenIds
    offsets: npt.NDArray[np.int32]
    chunks: npt.NDArray[np.uint16]
    weights: Float32

    def spans(self, token_ids: TokenIds) -> tuple[Ordinals, Ordinals]:
        """Where each token's postings start and end in `chunks` and `weights`; an empty span where it is absent."""
        rows = np.searchsorted(self.token_ids, token_ids)
        rows[rows == len(self.token_ids)] = 0
        starts = self.offsets[rows].astype(np.int64)
        ends = self.offsets[rows + 1].astype(np.int64)
        return starts, np.where(self.token_ids[rows] == token_ids, ends, starts)

    def posting_lists(self, token_ids: TokenIds) -> Iterator[tuple[npt.NDArray[np.uint16], Float32]]:
        """For each token, the chunks of this tile that have it, and their weights."""
        for start, end in zip(*self.spans(token_ids), strict=True):
            yield self.chunks[start:end], self.weights[start:end]


def write(folder: Path, blocks: Iterable[SparseRows]) -> None:
    """Write postings and lengths of a segment from its rows in chunk order.

    Memory: 18 bytes a posting of one tile, and a sort of one block.
    """
    lengths: list[Float32] = []
    with pa.OSFile(str(folder / POSTINGS_FILE), "wb") as sink, pa.ipc.new_file(sink, POSTINGS_SCHEMA) as writer:
        for tile in _tiles(blocks):
            lengths += [_lengths(block) for block in tile]
            writer.write_batch(_invert(tile))
    np.save(folder / LENGTHS_FILE, np.concatenate(lengths) if lengths else np.zeros(0, np.float32))


def _tiles(blocks: Iterable[SparseRows]) -> Iterator[list[SparseRows]]:
    """The blocks of each tile, one cut in two where a tile ends in it."""
    pending: list[SparseRows] = []
    held = 0
    for block in blocks:
        while held + len(block) >= TILE_CHUNKS:
            head, block = _split(block, TILE_CHUNKS - held)
            yield [*pending, head]
            pending, held = [], 0
        pending.append(block)
        held += len(block)
    if held:
        yield pending


def _split(rows: SparseRows, at: int) -> tuple[SparseRows, SparseRows]:
    cut = int(rows.indptr[at])
    head = SparseRows(rows.indptr[: at + 1], rows.token_ids[:cut], rows.weights[:cut])
    tail = SparseRows(rows.indptr[at:] - cut, rows.token_ids[cut:], rows.weights[cut:])
    return head, tail


def _rows(block: SparseRows) -> Ordinals:
    return np.repeat(np.arange(len(block)), np.diff(block.indptr))


def _lengths(block: SparseRows) -> Float32:
    return np.bincount(_rows(block), weights=block.weights, minlength=len(block)).astype(np.float32)


def _invert(tile: list[SparseRows]) -> pa.RecordBatch:
    """The posting lists of a tile. Empties `tile`: a block is let go as soon as its postings are placed."""
    found = [np.unique(block.token_ids, return_counts=True) for block in tile]
    token_ids = np.unique(np.concatenate([ids for ids, _ in found]))
    counts = np.zeros(len(token_ids), np.int64)
    for ids, times in found:
        counts[np.searchsorted(token_ids, ids)] += times
    offsets = np.r_[0, np.cumsum(counts)]
    chunks = np.empty(int(offsets[-1]), np.uint16)
    weights = np.empty(int(offsets[-1]), np.float32)
    free = offsets[:-1].copy()  # where the next posting of each token goes
    start = 0
    for ids, times in found:
        block = tile.pop(0)
        order = np.argsort(block.token_ids, kind="stable")
        tokens = np.searchsorted(token_ids, ids)
        firsts = np.cumsum(times) - times
        places = np.arange(len(order)) + np.repeat(free[tokens] - firsts, times)
        chunks[places] = _rows(block)[order] + start
        weights[places] = block.weights[order]
        free[tokens] += times
        start += len(block)
    ends = pa.array(offsets.astype(np.int32))
    return pa.RecordBatch.from_arrays(
        [
            pa.array(token_ids),
            pa.ListArray.from_arrays(ends, pa.array(chunks)),
            pa.ListArray.from_arrays(ends, pa.array(weights)),
        ],
        schema=POSTINGS_SCHEMA,
    )


def read_lengths(folder: Path, chunks: int) -> Float32:
    """The sum of each chunk's stored weights, memory-mapped. Raises `CorruptIndexError`."""
    lengths: Float32 = files.map_array(folder / LENGTHS_FILE, np.float32, 1)
    if lengths.shape != (chunks,):
        raise CorruptIndexError(f"{folder / LENGTHS_FILE}: does not hold {chunks} lengths")
    return lengths


class Postings:
    """An open postings file, memory-mapped. `tiles`: those that have postings.

    `views` hold the same for compiled code: a table of places, int64 (tiles, 7), and the whole file as uint64,
    int32, uint16 and float32. A row of places: first chunk, number of tokens; where token ids, offsets, chunks and
    weights start, each in words of its type; number of chunks.
    """

    def __init__(self, folder: Path, chunks: int) -> None:
        """Raises `CorruptIndexError`."""
        path = folder / POSTINGS_FILE
        try:
            content = pa.memory_map(str(path)).read_buffer()
            reader = pa.ipc.open_file(content)
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise files.damage(error, f"{path}: cannot be read ({error}); `pipeline repair` rebuilds it") from None
        if reader.schema != POSTINGS_SCHEMA or len(batches) != -(-chunks // TILE_CHUNKS):
            raise CorruptIndexError(f"{path}: does not hold {chunks} chunks; `pipeline repair` rebuilds it")
        opened = [_open_tile(i * TILE_CHUNKS, batch, path) for i, batch in enumerate(batches)]
        self.tiles = [tile for tile in opened if len(tile.token_ids)]
        words = np.frombuffer(content, np.uint8, content.size - content.size % 8)
        places = np.zeros((len(self.tiles), 7), np.int64)
        for place, tile in zip(places, self.tiles, strict=True):
            arrays = (tile.token_ids, tile.offsets, tile.chunks, tile.weights)
            starts = [(array.ctypes.data - content.address) // array.itemsize for array in arrays]
            place[:] = [tile.start, len(tile.token_ids), *starts, min(TILE_CHUNKS, chunks - tile.start)]
        types: tuple[Any, ...] = (np.uint64, np.int32, np.uint16, np.float32)
        self.views = (places, *(words.view(kind) for kind in types))


def _open_tile(start: int, batch: pa.RecordBatch, path: Path) -> Tile:
    try:
        batch.validate()
    except pa.ArrowException as error:
        raise files.damage(
            error, f"{path}: invalid record batch ({error}); `pipeline repair` rebuilds it"
        ) from None
    chunks, weights = batch.column("chunks"), batch.column("weights")
    if any(column.null_count for column in (*batch.columns, chunks.values, weights.values)):
        raise CorruptIndexError(f"{path}: has null postings; `pipeline repair` rebuilds it")
    offsets = as_array(chunks.offsets)
    tile = Tile(
        start=start,
        token_ids=as_array(batch.column("token_id")),
        offsets=offsets,
        chunks=as_array(chunks.values),
        weights=as_array(weights.values),
    )
    sound = (
        len(offsets) == batch.num_rows + 1
        and np.array_equal(offsets, as_array(weights.offsets))
        and len(tile.chunks) == len(tile.weights) == int(offsets[-1])
        and int(offsets[0]) == 0
        and bool((np.diff(offsets) > 0).all())
        and bool((tile.token_ids[1:] > tile.token_ids[:-1]).all())
    )
    if not sound:
        raise CorruptIndexError(f"{path}: inconsistent posting lists; `pipeline repair` rebuilds it")
    return tile
