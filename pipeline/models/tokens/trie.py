"""The pieces of a vocabulary in a trie of code points, in arrays that are mapped: a process reads a few pages."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline import arrays

TRIE_FILES = POINTS_FILE, FIRST_FILE, PIECES_FILE = "trie-points.npy", "trie-first.npy", "trie-pieces.npy"
ROOT = 0
_POINT_BITS = 21
_POINT_MASK = (1 << _POINT_BITS) - 1


def write_trie(texts: Sequence[str], ids: npt.NDArray[np.int64], folder: Path) -> tuple[npt.NDArray[np.int64], int]:
    """Write the trie of `texts` where `Trie` finds it; of equal texts the last one's id counts.

    Texts neither are empty nor end in a NUL. Return the node at which each of them ends, and how many nodes
    there are.
    """
    stored = np.array(texts)
    points = stored.view(np.uint32).reshape(len(stored), -1)
    lengths = np.strings.str_len(stored)
    nodes = np.zeros(len(stored), np.uint64)
    keys, count = [], 0
    for depth in range(points.shape[1]):
        deep = np.flatnonzero(lengths > depth)
        found, place = np.unique(
            (nodes[deep] << np.uint64(_POINT_BITS)) | points[deep, depth].astype(np.uint64), return_inverse=True
        )
        nodes[deep] = (count + 1 + place).astype(np.uint64)
        count += len(found)
        keys.append(found)
    sorted_keys = np.concatenate(keys)  # ascending as they are: a deeper node's parent has a higher number
    ended = nodes.astype(np.int64)
    pieces = np.full(count + 1, -1, np.int32)
    pieces[ended] = ids
    parents = sorted_keys >> np.uint64(_POINT_BITS)
    np.save(folder / POINTS_FILE, (sorted_keys & np.uint64(_POINT_MASK)).astype(np.uint32))
    np.save(folder / FIRST_FILE, np.searchsorted(parents, np.arange(count + 2)).astype(np.int32))
    np.save(folder / PIECES_FILE, pieces)
    return ended, count + 1


class Trie:
    """A trie that `write_trie` wrote; its root is node 0. Raises `OSError` or `ValueError` for damaged files.

    `points`: the code point that leads to each node but the root. `first`: where a node's children begin among
    `points`, and the next node's end. `pieces`: the id of the piece that ends at each node, -1 for none.
    """

    def __init__(self, folder: Path) -> None:
        points, first, pieces = (arrays.mapped(folder / name) for name in (POINTS_FILE, FIRST_FILE, PIECES_FILE))
        if len(first) != len(points) + 2 or len(pieces) != len(points) + 1:
            raise ValueError("the arrays of the trie do not fit together")
        self.points, self.first, self.pieces = points.data, first.data, pieces.data

    def __len__(self) -> int:
        return len(self.pieces)

    def step(self, node: int, point: int) -> int:
        """The child of `node` that the code point leads to, or 0."""
        stop = self.first[node + 1]
        child = bisect_left(self.points, point, self.first[node], stop)
        return child + 1 if child < stop and self.points[child] == point else ROOT

    def walk(self, text: str, node: int = ROOT) -> int:
        """The node that a text leads to from `node`, or 0 where the trie has no such text."""
        for character in text:
            node = self.step(node, ord(character))
            if node == ROOT:
                break
        return node

    def find(self, text: str) -> int:
        """Id of the piece that is this text, -1 for none."""
        node = self.walk(text)
        return int(self.pieces[node]) if node else -1

    def text(self, node: int) -> str:
        """The text that leads to a node."""
        characters = []
        while node != ROOT:
            characters.append(chr(self.points[node - 1]))
            node = _bisect_last(self.first, node - 1)
        return "".join(reversed(characters))


def _bisect_last(first: Sequence[int], child: int) -> int:
    """The node among whose children the child is: the last one whose children begin at it or before."""
    low, high = 0, len(first) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if first[middle] <= child:
            low = middle
        else:
            high = middle - 1
    return low
