"""Which of many words are few slips from a word: letters left out, added, exchanged, or neighbours turned around.

Letters are those of the canonical decomposition (NFD): a mark is a letter, and so is each jamo of Hangul.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Letters = npt.NDArray[np.uint32]
Signatures = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

_CLASSES = 32


def decomposed(word: str) -> str:
    """The letters of a word."""
    return word if word.isascii() else unicodedata.normalize("NFD", word)


def letters_of(words: Sequence[str]) -> Letters:
    """Code points of decomposed words: (letters of the longest, words), zero behind the end of shorter ones."""
    width = max([1, *map(len, words)])
    rows = np.array(words, f"U{width}").view(np.uint32).reshape(len(words), width)
    return np.ascontiguousarray(rows.T)


def signatures(letters: Letters) -> Signatures:
    """Which of 32 classes of letters a word has, and which it has more than once, as 64 bits.

    `letters`: (letters, words), all words of one length. A slip sets one bit at most and clears one at most: so
    does a letter more or less, and an exchange is both. Hence two words are at least as many slips apart as bits of
    one are missing in the other.
    """
    once = np.zeros(letters.shape[1], np.uint64)
    twice = once.copy()
    for row in letters:
        bit = np.left_shift(np.uint64(1), row.astype(np.uint64) % np.uint64(_CLASSES))
        twice |= once & bit
        once |= bit
    return once | np.left_shift(twice, np.uint64(_CLASSES))


def may_be_within(mine: np.uint64, others: Signatures, slips: int) -> Mask:
    """Which words may be so near by their signatures; no others are."""
    missing, added = np.bitwise_count(~others & mine), np.bitwise_count(others & ~mine)
    near: Mask = np.maximum(missing, added) <= slips
    return near


def within(word: str, others: Sequence[str], slips: int) -> Mask:
    """Which of some words are at most so many slips from a word, all decomposed (optimal string alignment).

    Only cells of the table whose row and column differ by no more than `slips` are computed, for all words at once:
    a way through others has too many.
    """
    letters = letters_of(others)
    sizes = np.array(list(map(len, others)), np.int64)
    points = list(map(ord, word))
    beyond = np.full(len(others), slips + 1, np.uint8)
    before: dict[int, npt.NDArray[Any]] = {}
    row = {j: np.full_like(beyond, j) for j in range(slips + 1)}
    for i, point in enumerate(points, 1):
        before, last, row = row, before, {}
        for j in range(max(i - slips, 0), min(i + slips, len(letters)) + 1):
            if j == 0:
                row[j] = np.full_like(beyond, i)
                continue
            best = np.minimum(before.get(j, beyond), row.get(j - 1, beyond)) + np.uint8(1)
            np.minimum(best, before.get(j - 1, beyond) + (letters[j - 1] != point), out=best)
            if i > 1 and j > 1:
                turned = (letters[j - 2] == point) & (letters[j - 1] == points[i - 2])
                np.minimum(best, np.where(turned, last.get(j - 2, beyond) + np.uint8(1), best), out=best)
            row[j] = best
    found = np.zeros(len(others), np.bool_)
    for j, slips_to in row.items():
        found |= (sizes == j) & (slips_to <= slips)
    return found
