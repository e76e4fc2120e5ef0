"""The lexical leg of a segment: an inverted index, memory-mapped, scored exactly.

Postings are cut into tiles of 65,536 chunks so that the score accumulator of a tile stays in the processor's cache
and a chunk needs 16 bits. Scores are float32 sums in ascending order of token id: they are the same bits whether a
chunk is found by a search or scored on its own, and however chunks are spread over tiles and segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

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

Mask = npt.NDArray[np.bool_]
Ordinals = npt.NDArray[np.int64]
TokenIds = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class SparseQuery:
    """A query's tokens, ascending and unique, and the weight of each: model weights, or idf · count for BM25."""

    token_ids: TokenIds
    weights: Float32


@dataclass(frozen=True, slots=True)
class Saturation:
    """BM25 on the document side: tf · (k1 + 1) / (tf + norms[chunk]), where
    norms = k1 · (1 - b + b · length / mean length). `norms`: float32 (chunks,).
    """

    k1: float
    norms: Float32


@dataclass(frozen=True, slots=True)
class _Tile:
    start: int
    token_ids: TokenIds
    offsets: npt.NDArray[np.int32]
    chunks: npt.NDArray[np.uint16]
    weights: Float32

    def posting_list(self, token_id: np.uint64) -> tuple[npt.NDArray[np.uint16], Float32]:
        """Chunks of this tile that have the token, and their weights."""
        row = int(np.searchsorted(self.token_ids, token_id))
        if row == len(self.token_ids) or self.token_ids[row] != token_id:
            return self.chunks[:0], self.weights[:0]
        part = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
        return self.chunks[part], self.weights[part]


def write(folder: Path, blocks: Iterable[SparseRows]) -> None:
    """Write postings and lengths of a segment from its rows in chunk order. Memory: one tile."""
    lengths: list[Float32] = []
    with pa.OSFile(str(folder / POSTINGS_FILE), "wb") as sink, pa.ipc.new_file(sink, POSTINGS_SCHEMA) as writer:
        for tile in _tiles(blocks):
            counts = np.diff(tile.indptr)
            rows = np.repeat(np.arange(len(tile)), counts)
            lengths.append(np.bincount(rows, weights=tile.weights, minlength=len(tile)).astype(np.float32))
            writer.write_batch(_invert(tile, rows.astype(np.uint16)))
    np.save(folder / LENGTHS_FILE, np.concatenate(lengths) if lengths else np.zeros(0, np.float32))


def _tiles(blocks: Iterable[SparseRows]) -> Iterator[SparseRows]:
    pending: list[SparseRows] = []
    held = 0
    for block in blocks:
        while held + len(block) >= TILE_CHUNKS:
            head, block = _split(block, TILE_CHUNKS - held)
            yield SparseRows.concatenate([*pending, head])
            pending, held = [], 0
        pending.append(block)
        held += len(block)
    if held:
        yield SparseRows.concatenate(pending)


def _split(rows: SparseRows, at: int) -> tuple[SparseRows, SparseRows]:
    cut = int(rows.indptr[at])
    head = SparseRows(rows.indptr[: at + 1], rows.token_ids[:cut], rows.weights[:cut])
    tail = SparseRows(rows.indptr[at:] - cut, rows.token_ids[cut:], rows.weights[cut:])
    return head, tail


def _invert(tile: SparseRows, rows: npt.NDArray[np.uint16]) -> pa.RecordBatch:
    order = np.argsort(tile.token_ids, kind="stable")
    token_ids = tile.token_ids[order]
    starts = np.flatnonzero(np.r_[True, token_ids[1:] != token_ids[:-1]]) if len(order) else np.zeros(0, np.int64)
    offsets = pa.array(np.r_[starts, len(order)].astype(np.int32))
    return pa.RecordBatch.from_arrays(
        [
            pa.array(token_ids[starts]),
            pa.ListArray.from_arrays(offsets, pa.array(rows[order])),
            pa.ListArray.from_arrays(offsets, pa.array(tile.weights[order])),
        ],
        schema=POSTINGS_SCHEMA,
    )


class InvertedIndex:
    """An open lexical leg. `lengths`: float32 (chunks,), the sum of each chunk's stored weights."""

    def __init__(self, folder: Path, chunks: int) -> None:
        """Open the files of a segment. Raises `CorruptIndexError`."""
        path = folder / POSTINGS_FILE
        self.chunks = chunks
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CorruptIndexError(f"{path}: cannot be read ({error}); `pipeline repair` rebuilds it") from None
        if reader.schema != POSTINGS_SCHEMA or len(batches) != -(-chunks // TILE_CHUNKS):
            raise CorruptIndexError(f"{path}: does not hold {chunks} chunks; `pipeline repair` rebuilds it")
        self.lengths: Float32 = files.map_array(folder / LENGTHS_FILE, np.float32, 1)
        if self.lengths.shape != (chunks,):
            raise CorruptIndexError(f"{folder / LENGTHS_FILE}: does not hold {chunks} lengths")
        self._tiles = [_open_tile(i * TILE_CHUNKS, batch, path) for i, batch in enumerate(batches)]

    def check_ordinals(self) -> None:
        """Raise `CorruptIndexError` if a posting names a chunk that is not there. Reads every posting."""
        for tile in self._tiles:
            if len(tile.chunks) and int(tile.chunks.max()) >= self.chunks - tile.start:
                raise CorruptIndexError("its postings name chunks that the segment does not have")

    def document_frequencies(self, token_ids: TokenIds, deleted: Mask | None) -> npt.NDArray[np.int64]:
        """For each token, in how many live chunks it stands."""
        counts = np.zeros(len(token_ids), np.int64)
        for tile in self._tiles:
            for i, token_id in enumerate(token_ids):
                chunks, _ = tile.posting_list(token_id)
                counts[i] += len(chunks)
                if deleted is not None and len(chunks):
                    counts[i] -= np.count_nonzero(deleted[tile.start : tile.start + TILE_CHUNKS][chunks])
        return counts

    def largest_weights(self, token_ids: TokenIds) -> Float32:
        """For each token, its largest stored weight; zero where it is absent."""
        result = np.zeros(len(token_ids), np.float32)
        for tile in self._tiles:
            for i, token_id in enumerate(token_ids):
                _, stored = tile.posting_list(token_id)
                result[i] = max(result[i], stored.max(initial=0))
        return result

    def search(
        self, query: SparseQuery, depth: int, deleted: Mask | None, saturation: Saturation | None
    ) -> tuple[Ordinals, Float32]:
        """Chunks that share a token with the query, best first: ordinals and scores, ties at the cut included."""
        found = [self._search_tile(tile, query, depth, deleted, saturation) for tile in self._tiles]
        ordinals = np.concatenate([part[0] for part in found]) if found else np.zeros(0, np.int64)
        scores = np.concatenate([part[1] for part in found]) if found else np.zeros(0, np.float32)
        kept = _at_least_kth(scores, depth)
        ordinals, scores = ordinals[kept], scores[kept]
        order = np.lexsort((ordinals, -scores))
        return ordinals[order], scores[order]

    def _search_tile(
        self, tile: _Tile, query: SparseQuery, depth: int, deleted: Mask | None, saturation: Saturation | None
    ) -> tuple[Ordinals, Float32]:
        accumulator = np.zeros(min(TILE_CHUNKS, self.chunks - tile.start), np.float32)
        for token_id, weight in zip(query.token_ids, query.weights, strict=True):
            chunks, stored = tile.posting_list(token_id)
            if len(chunks):
                accumulator[chunks] += _contribution(tile.start, chunks, stored, weight, saturation)
        if deleted is not None:
            accumulator[deleted[tile.start : tile.start + TILE_CHUNKS]] = 0
        matched = np.flatnonzero(accumulator > 0)
        scores = accumulator[matched]
        kept = _at_least_kth(scores, depth)
        return matched[kept] + tile.start, scores[kept]

    def contributions(self, query: SparseQuery, ordinals: Ordinals, saturation: Saturation | None) -> Float32:
        """What each token adds to each chunk's score: float32 (tokens, chunks); zero where a token is absent."""
        result = np.zeros((len(query.token_ids), len(ordinals)), np.float32)
        for tile in self._tiles:
            inside = np.flatnonzero((ordinals >= tile.start) & (ordinals < tile.start + TILE_CHUNKS))
            if not len(inside):
                continue
            local = (ordinals[inside] - tile.start).astype(np.uint16)
            for i, (token_id, weight) in enumerate(zip(query.token_ids, query.weights, strict=True)):
                chunks, stored = tile.posting_list(token_id)
                if not len(chunks):
                    continue
                positions = np.minimum(np.searchsorted(chunks, local), len(chunks) - 1)
                hit = chunks[positions] == local
                at = positions[hit]
                result[i, inside[hit]] = _contribution(tile.start, chunks[at], stored[at], weight, saturation)
        return result

    def scores(self, query: SparseQuery, ordinals: Ordinals, saturation: Saturation | None) -> Float32:
        """Exact scores of given chunks, the same bits that `search` gives; zero where nothing matches."""
        total = np.zeros(len(ordinals), np.float32)
        for row in self.contributions(query, ordinals, saturation):
            total += row
        return total


def _contribution(
    start: int, chunks: npt.NDArray[np.uint16], stored: Float32, weight: np.float32, saturation: Saturation | None
) -> Float32:
    if saturation is None:
        return stored * weight
    norms = saturation.norms[start : start + TILE_CHUNKS][chunks]
    result: Float32 = (stored * np.float32(saturation.k1 + 1)) / (stored + norms) * weight
    return result


def _at_least_kth(scores: Float32, k: int) -> npt.NDArray[np.bool_] | slice:
    if len(scores) <= k:
        return slice(None)
    cut = np.partition(scores, len(scores) - k)[len(scores) - k]
    kept: npt.NDArray[np.bool_] = scores >= cut
    return kept


def _open_tile(start: int, batch: pa.RecordBatch, path: Path) -> _Tile:
    try:
        batch.validate()
    except pa.ArrowException as error:
        raise CorruptIndexError(f"{path}: invalid record batch ({error}); `pipeline repair` rebuilds it") from None
    chunks, weights = batch.column("chunks"), batch.column("weights")
    if any(column.null_count for column in (*batch.columns, chunks.values, weights.values)):
        raise CorruptIndexError(f"{path}: has null postings; `pipeline repair` rebuilds it")
    offsets = as_array(chunks.offsets)
    tile = _Tile(
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
