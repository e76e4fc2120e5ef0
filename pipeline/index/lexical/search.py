"""The lexical leg of a segment: an inverted index, memory-mapped, scored exactly.

Scores are float32 sums in ascending order of token id: they are the same bits whether a chunk is found by a search
or scored on its own, and however chunks are spread over tiles and segments.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline import arrays
from pipeline.errors import CorruptIndexError
from pipeline.index.lexical import kernel, postings
from pipeline.index.lexical.postings import Ordinals, Tile, TokenIds
from pipeline.records import Float32

_CORES = os.cpu_count() or 1
_WORTH_A_THREAD = 2
"""Tiles a thread must have to save more time than it costs."""

Mask = npt.NDArray[np.bool_]


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


class InvertedIndex:
    """An open lexical leg. `lengths`: float32 (chunks,), the sum of each chunk's stored weights."""

    def __init__(self, folder: Path, chunks: int) -> None:
        """Open the files of a segment. Raises `CorruptIndexError`."""
        self.chunks = chunks
        self._postings = postings.Postings(folder, chunks)
        self._tiles = self._postings.tiles
        self.lengths: Float32 = postings.read_lengths(folder, chunks)
        self._checked = False

    def vocabulary(self) -> TokenIds:
        """The distinct token ids of the segment, ascending."""
        found = [tile.token_ids for tile in self._tiles]
        return arrays.distinct(np.concatenate(found)) if found else np.zeros(0, np.uint64)

    def check_ordinals(self) -> None:
        """Raise `CorruptIndexError` if a posting names a chunk that is not there. Reads every posting, once."""
        if self._checked:
            return
        for tile in self._tiles:
            if int(tile.chunks.max()) >= self.chunks - tile.start:
                raise CorruptIndexError("its postings name chunks that the segment does not have")
        self._checked = True

    def document_frequencies(self, token_ids: TokenIds, deleted: Mask | None) -> npt.NDArray[np.int64]:
        """For each token, in how many live chunks it stands."""
        counts = np.zeros(len(token_ids), np.int64)
        for tile in self._tiles:
            starts, ends = tile.spans(token_ids)
            counts += ends - starts
            if deleted is not None:
                gone = deleted[tile.start : tile.start + postings.TILE_CHUNKS]
                for i, (chunks, _) in enumerate(tile.posting_lists(token_ids)):
                    counts[i] -= np.count_nonzero(gone[chunks])
        return counts

    def largest_weight(self) -> float:
        """The largest stored weight of all; zero where there is none."""
        return max((float(tile.weights.max()) for tile in self._tiles), default=0.0)

    def largest_weights(self, token_ids: TokenIds) -> Float32:
        """For each token, its largest stored weight; zero where it is absent."""
        result = np.zeros(len(token_ids), np.float32)
        for tile in self._tiles:
            for i, (_, stored) in enumerate(tile.posting_lists(token_ids)):
                result[i] = max(result[i], stored.max(initial=0))
        return result

    def search(
        self,
        query: SparseQuery,
        depth: int,
        deleted: Mask | None,
        saturation: Saturation | None,
        pool: Executor | None = None,
    ) -> tuple[Ordinals, Float32]:
        """Chunks that share a token with the query, best first: ordinals and scores, ties at the cut included.

        With a `pool`, its threads share the tiles once the compiled kernel is ready and there is much to read.
        """
        compiled = kernel.available()
        if compiled is None:
            kernel.count(self.postings_read(query))
            found = [self._search_tile(tile, query, depth, deleted, saturation) for tile in self._tiles]
        else:
            self.check_ordinals()
            found = self._search_shared(compiled, query, depth, deleted, saturation, pool)
        ordinals = np.concatenate([part[0] for part in found]) if found else np.zeros(0, np.int64)
        scores = np.concatenate([part[1] for part in found]) if found else np.zeros(0, np.float32)
        return best(ordinals, scores, depth)

    def postings_read(self, query: SparseQuery) -> int:
        """How many postings a search for the query reads."""
        return sum(int((ends - starts).sum()) for starts, ends in (t.spans(query.token_ids) for t in self._tiles))

    def _search_shared(
        self,
        compiled: kernel.Kernel,
        query: SparseQuery,
        depth: int,
        deleted: Mask | None,
        saturation: Saturation | None,
        pool: Executor | None,
    ) -> list[tuple[Ordinals, Float32]]:
        """Search the tiles, shared among this thread and the pool's."""

        def search(tiles: Ordinals) -> tuple[Ordinals, Float32]:
            return self._search_compiled(compiled, tiles, query, depth, deleted, saturation)

        tiles = np.arange(len(self._tiles))
        threads = min(_CORES, len(tiles) // _WORTH_A_THREAD) if pool else 1
        if pool is None or threads < 2:
            return [search(tiles)]
        shares = [np.ascontiguousarray(tiles[i::threads]) for i in range(threads)]
        others = [pool.submit(search, share) for share in shares[1:]]
        return [search(shares[0]), *(other.result() for other in others)]

    def _search_compiled(
        self,
        compiled: kernel.Kernel,
        tiles: Ordinals,
        query: SparseQuery,
        depth: int,
        deleted: Mask | None,
        saturation: Saturation | None,
    ) -> tuple[Ordinals, Float32]:
        """Return what `_search_tile` finds, over several tiles."""
        room = len(tiles) * postings.TILE_CHUNKS  # reserved, not touched: all chunks may tie
        ordinals, bits = np.empty(room, np.int64), np.empty(room, np.int32)
        gone = deleted if deleted is not None else np.zeros(0, np.bool_)
        wanted = (*_arguments(query, saturation), gone, min(depth, self.chunks))
        count = compiled.search(
            *self._postings.views, tiles, *wanted, _scratch.scores, _scratch.bits, ordinals, bits
        )
        return ordinals[:count], bits[:count].view(np.float32)

    def _search_tile(
        self, tile: Tile, query: SparseQuery, depth: int, deleted: Mask | None, saturation: Saturation | None
    ) -> tuple[Ordinals, Float32]:
        accumulator = np.zeros(min(postings.TILE_CHUNKS, self.chunks - tile.start), np.float32)
        for (chunks, stored), weight in zip(tile.posting_lists(query.token_ids), query.weights, strict=True):
            if len(chunks):
                accumulator[chunks] += _contribution(tile.start, chunks, stored, weight, saturation)
        if deleted is not None:
            accumulator[deleted[tile.start : tile.start + postings.TILE_CHUNKS]] = 0
        matched = np.flatnonzero(accumulator > 0)
        scores = accumulator[matched]
        kept = _at_least_kth(scores, depth)
        return matched[kept] + tile.start, scores[kept]

    def contributions(self, query: SparseQuery, ordinals: Ordinals, saturation: Saturation | None) -> Float32:
        """What each token adds to each chunk's score: float32 (tokens, chunks); zero where a token is absent."""
        result = np.zeros((len(query.token_ids), len(ordinals)), np.float32)
        compiled = kernel.available()
        if compiled is not None:
            self.check_ordinals()
            compiled.contributions(*self._postings.views, *_arguments(query, saturation), ordinals, result)
            return result
        for tile in self._tiles:
            inside = np.flatnonzero((ordinals >= tile.start) & (ordinals < tile.start + postings.TILE_CHUNKS))
            if not len(inside):
                continue
            local = (ordinals[inside] - tile.start).astype(np.uint16)
            lists = zip(tile.posting_lists(query.token_ids), query.weights, strict=True)
            for i, ((chunks, stored), weight) in enumerate(lists):
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


class _Scratch(threading.local):
    """A thread's accumulator for one tile; all zero between searches."""

    def __init__(self) -> None:
        self.scores = np.zeros(1 << 16, np.float32)
        self.bits = self.scores.view(np.int32)


_scratch = _Scratch()


def _arguments(query: SparseQuery, saturation: Saturation | None) -> tuple[TokenIds, Float32, Float32, np.float32]:
    if saturation is None:
        return query.token_ids, query.weights, np.zeros(0, np.float32), np.float32(1)
    return query.token_ids, query.weights, saturation.norms, np.float32(saturation.k1 + 1)


def _contribution(
    start: int, chunks: npt.NDArray[np.uint16], stored: Float32, weight: np.float32, saturation: Saturation | None
) -> Float32:
    if saturation is None:
        return stored * weight
    norms = saturation.norms[start : start + postings.TILE_CHUNKS][chunks]
    result: Float32 = (stored * np.float32(saturation.k1 + 1)) / (stored + norms) * weight
    return result


def best(ordinals: Ordinals, scores: Float32, depth: int) -> tuple[Ordinals, Float32]:
    """The `depth` highest scores and all that tie with the last, best first, ties by ordinal."""
    kept = _at_least_kth(scores, depth)
    ordinals, scores = ordinals[kept], scores[kept]
    order = np.lexsort((ordinals, -scores))
    return ordinals[order], scores[order]


def _at_least_kth(scores: Float32, k: int) -> npt.NDArray[np.bool_] | slice:
    if len(scores) <= k:
        return slice(None)
    cut = np.partition(scores, len(scores) - k)[len(scores) - k]
    kept: npt.NDArray[np.bool_] = scores >= cut
    return kept
