"""The unigram segmentation of whole texts, compiled, for processes that cut a lot of text. Imports numba.

Importing numba and compiling takes seconds, which a few texts must not pay for: it is compiled in the background
once a process has cut `WARRANTED_CHARACTERS` characters of words in Python. Until then, and where numba is not
installed, Python goes on; both give the same pieces, because both add the same float64 numbers in the same order.
A child forked while it is compiled has it not, and goes on with Python.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.forking import InBackground

WARRANTED_CHARACTERS = 1_500_000
"""What Python takes about twice as long to cut as it takes to compile."""
NEAR_POINTS = 1 << 16
"""Code points below have a place in the table of the root's children."""

Kernel = Callable[..., int]
"""`segment(points, first, pieces, scores, near, unk_id, unk_score, text, mark, ids, lengths)` writes the ids of a
text's pieces and how many characters each covers, and returns how many there are. A word begins at each `mark`, the
first one at the start. `near`: the root's child by code point, 0 for none. `points` and what follows are those of
`trie.Trie`, `scores` those of `segmentation.UnigramSegmentation`. Releases the interpreter's lock."""

_log = logging.getLogger(__name__)


def available() -> Kernel | None:
    """The compiled loop if it is ready."""
    return _kernel.made()


def count(characters: int) -> None:
    """Note work done without it; starts to compile when that becomes worth while."""
    _kernel.count(characters)


def load() -> Kernel | None:
    """Compile now and wait for it. `None` where numba is not installed."""
    return _kernel.wait()


def near(points: npt.NDArray[np.uint32], first: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The argument `near` of the kernel, of a trie's arrays."""
    children = np.zeros(NEAR_POINTS, np.int32)
    of_root = points[first[0] : first[1]]
    placed = of_root < NEAR_POINTS
    children[of_root[placed]] = np.flatnonzero(placed) + 1 + first[0]
    return children


def _compile() -> Kernel | None:
    try:
        import numba
    except ImportError:
        _log.info("numba is not installed: texts are cut into tokens in Python")
        return None
    return _build(numba)


_kernel = InBackground(_compile, "compile-segmentation-kernel", WARRANTED_CHARACTERS)


def _build(numba: Any) -> Kernel:
    def array(kind: Any) -> Any:
        return numba.types.Array(kind, 1, "C", readonly=True)

    @numba.njit(nogil=True)
    def child_of(points, first, near, node, point):  # type: ignore[no-untyped-def]
        if node == 0 and point < len(near):
            return near[point]
        low, stop = first[node], first[node + 1]
        high = stop
        while low < high:
            middle = (low + high) // 2
            if points[middle] < point:
                low = middle + 1
            else:
                high = middle
        return low + 1 if low < stop and points[low] == point else 0

    def segment(  # type: ignore[no-untyped-def]
        points, first, pieces, scores, near, unk_id, unk_score, text, mark, ids, lengths
    ):  # fmt: skip
        best = np.empty(len(text) + 1, np.float64)
        before = np.empty(len(text) + 1, np.int64)
        chosen = np.empty(len(text) + 1, np.int64)
        written = 0
        begin = 0
        while begin < len(text):
            size = 1
            while begin + size < len(text) and text[begin + size] != mark:
                size += 1
            best[0] = 0.0
            for place in range(1, size + 1):
                best[place], before[place], chosen[place] = -1e300, 0, unk_id
            for start in range(size):
                so_far, node, is_known = best[start], 0, False
                for end in range(start, size):
                    node = child_of(points, first, near, node, text[begin + end])
                    if node == 0:
                        break
                    piece = pieces[node]
                    if piece >= 0:
                        is_known = is_known or end == start
                        score = so_far + np.float64(scores[node])
                        if score > best[end + 1]:
                            best[end + 1], before[end + 1], chosen[end + 1] = score, start, piece
                if not is_known and so_far + unk_score > best[start + 1]:
                    best[start + 1], before[start + 1], chosen[start + 1] = so_far + unk_score, start, unk_id
            first_of_word = written
            end = size
            while end > 0:
                start = before[end]
                if chosen[end] == unk_id and written > first_of_word and ids[written - 1] == unk_id:
                    lengths[written - 1] += end - start
                else:
                    ids[written] = chosen[end]
                    lengths[written] = end - start
                    written += 1
                end = start
            low, high = first_of_word, written - 1
            while low < high:
                ids[low], ids[high] = ids[high], ids[low]
                lengths[low], lengths[high] = lengths[high], lengths[low]
                low += 1
                high -= 1
            begin += size
        return written

    signature = (
        array(numba.uint32), array(numba.int32), array(numba.int32), array(numba.float32), array(numba.int32),
        numba.int64, numba.float64, array(numba.uint32), numba.int64, numba.int32[::1], numba.int32[::1],
    )  # fmt: skip
    compiled: Kernel = numba.njit(signature, nogil=True, error_model="numpy")(segment)
    return compiled
