"""Compiled loops over postings, for processes that search a lot. The only module that imports numba.

Importing numba and compiling takes seconds, which a single query must not pay for: the loops are compiled in the
background once a process has read `WARRANTED_POSTINGS` postings with NumPy. Until then, and where numba is not
installed, NumPy goes on; both give the same bits, because both add the same float32 products in the same order.
A child forked while they are compiled has them not, and goes on with NumPy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.forking import InBackground

BLOCK_CHUNKS = 64
WARRANTED_POSTINGS = 50_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Compiled functions; both release the interpreter's lock.

    `search(views…, tiles, token_ids, weights, norms, factor, gone, depth, accumulator, bits, ordinals, scores)`
    writes every chunk of the tiles that may be among the best `depth`, ties included, into `ordinals` and `scores`
    and returns how many there are. `contributions(views…, token_ids, weights, norms, factor, chunks, result)`
    writes what each token adds to each chunk's score. `views` are those of `postings.Postings`. Without saturation
    `norms` is empty, without deletions `gone` is. `accumulator` is float32 (65536,) of zeros, `bits` the same
    memory as int32; it is all zeros again afterwards.
    """

    search: Callable[..., int]
    contributions: Callable[..., None]


def available() -> Kernel | None:
    """The compiled kernel if it is ready."""
    return _kernel.made()


def count(postings: int) -> None:
    """Note work done without the kernel; starts to compile it when that becomes worth while."""
    _kernel.count(postings)


def begin() -> None:
    """Begin to compile in the background, for a process that will search a lot."""
    _kernel.begin()


def load() -> Kernel | None:
    """Compile now and wait for it. `None` where numba is not installed."""
    return _kernel.wait()


def _compile() -> Kernel | None:
    try:
        import numba
    except ImportError:
        _log.info("numba is not installed: lexical searches go on with NumPy")
        return None
    return _build(numba)


_kernel = InBackground(_compile, "compile-postings-kernel", WARRANTED_POSTINGS)


def _build(numba: Any) -> Kernel:
    import numpy as np

    def array(kind: Any, dimensions: int = 1) -> Any:
        return numba.types.Array(kind, dimensions, "C", readonly=True)

    def compiled(function: Any, *signature: Any) -> Any:
        return numba.njit(signature, nogil=True, error_model="numpy")(function)

    views = (
        array(numba.int64, 2),
        array(numba.uint64),
        array(numba.int32),
        array(numba.uint16),
        array(numba.float32),
    )
    query = (array(numba.uint64), array(numba.float32), array(numba.float32), numba.float32)
    floats, bits = numba.float32[::1], numba.int32[::1]

    @numba.njit(nogil=True)
    def span(places, token_words, offset_words, tile, token_id):  # type: ignore[no-untyped-def]
        first = places[tile, 2]
        low, high = first, first + places[tile, 1]
        end = high
        while low < high:
            middle = (low + high) // 2
            if token_words[middle] < token_id:
                low = middle + 1
            else:
                high = middle
        if low == end or token_words[low] != token_id:
            return np.int64(0), np.int64(0)
        row = places[tile, 3] + low - first
        return np.int64(offset_words[row]), np.int64(offset_words[row + 1])

    @numba.njit(nogil=True)
    def offer(heap, held, score):  # type: ignore[no-untyped-def]
        """Keep the largest scores in a heap with the least at its root; returns how many it holds."""
        if held < len(heap):
            place = held
            heap[place] = score
            while place > 0 and heap[(place - 1) // 2] > heap[place]:
                heap[place], heap[(place - 1) // 2] = heap[(place - 1) // 2], heap[place]
                place = (place - 1) // 2
            return held + 1
        place = 0
        heap[0] = score
        while True:
            child = 2 * place + 1
            if child >= held:
                return held
            if child + 1 < held and heap[child + 1] < heap[child]:
                child += 1
            if heap[place] <= heap[child]:
                return held
            heap[place], heap[child] = heap[child], heap[place]
            place = child

    def search(  # type: ignore[no-untyped-def]
        places, token_words, offset_words, chunks, stored, tiles,
        token_ids, weights, norms, factor, gone, depth, accumulator, accumulator_bits, ordinals, scores,
    ):  # fmt: skip
        heap = np.empty(depth, np.int32)
        held = 0
        found = 0
        for tile in tiles:
            start, of_chunks, of_weights, size = places[tile, 0], places[tile, 4], places[tile, 5], places[tile, 6]
            matched = False
            for token in range(len(token_ids)):
                begin, end = span(places, token_words, offset_words, tile, token_ids[token])
                weight = weights[token]
                matched |= begin < end
                listed = chunks[of_chunks + begin : of_chunks + end]
                values = stored[of_weights + begin : of_weights + end]
                if len(norms):
                    for i in range(len(listed)):
                        chunk = listed[i]
                        saturated = (values[i] * factor) / (values[i] + norms[start + chunk])
                        accumulator[chunk] += saturated * weight
                else:
                    # A list names a chunk once, so that four sums at a time do not meet.
                    whole = len(listed) // 4 * 4
                    for i in range(0, whole, 4):
                        a, b, c, d = listed[i], listed[i + 1], listed[i + 2], listed[i + 3]
                        to_a = accumulator[a] + values[i] * weight
                        to_b = accumulator[b] + values[i + 1] * weight
                        to_c = accumulator[c] + values[i + 2] * weight
                        to_d = accumulator[d] + values[i + 3] * weight
                        accumulator[a], accumulator[b], accumulator[c], accumulator[d] = to_a, to_b, to_c, to_d
                    for i in range(whole, len(listed)):
                        accumulator[listed[i]] += values[i] * weight
            if not matched:
                continue
            if len(gone):
                for i in range(size):
                    if gone[start + i]:
                        accumulator[i] = 0
            # Positive floats order like their bits, and counting integers vectorises.
            for first in range(0, size, BLOCK_CHUNKS):
                block = accumulator_bits[first : first + BLOCK_CHUNKS]
                least = heap[0] if held == depth else np.int32(1)
                promising = np.int32(0)
                for i in range(BLOCK_CHUNKS):
                    promising += np.int32(block[i] >= least)
                if promising > 0:
                    for i in range(BLOCK_CHUNKS):
                        score = block[i]
                        if score > 0 and (held < depth or score >= heap[0]):
                            ordinals[found] = start + first + i
                            scores[found] = score
                            found += 1
                            held = offer(heap, held, score)
            accumulator_bits[:] = 0
        return found

    def contributions(  # type: ignore[no-untyped-def]
        places, token_words, offset_words, chunks, stored,
        token_ids, weights, norms, factor, wanted, result,
    ):  # fmt: skip
        for tile in range(len(places)):
            start, of_chunks, of_weights, size = places[tile, 0], places[tile, 4], places[tile, 5], places[tile, 6]
            for token in range(len(token_ids)):
                begin, end = span(places, token_words, offset_words, tile, token_ids[token])
                for j in range(len(wanted)):
                    chunk = wanted[j] - start
                    if chunk < 0 or chunk >= size:
                        continue
                    low, high = of_chunks + begin, of_chunks + end
                    while low < high:
                        middle = (low + high) // 2
                        if chunks[middle] < chunk:
                            low = middle + 1
                        else:
                            high = middle
                    if low == of_chunks + end or chunks[low] != chunk:
                        continue
                    value = stored[of_weights + low - of_chunks]
                    if len(norms):
                        value = (value * factor) / (value + norms[wanted[j]])
                    result[token, j] = value * weights[token]

    return Kernel(
        search=compiled(
            search, *views, array(numba.int64), *query, array(numba.boolean), numba.int64,
            floats, bits, numba.int64[::1], bits,
        ),
        contributions=compiled(contributions, *views, *query, array(numba.int64), numba.float32[:, ::1]),
    )  # fmt: skip
