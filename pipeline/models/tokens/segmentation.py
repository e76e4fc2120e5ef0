"""How a word is cut into pieces of a vocabulary: as SentencePiece's unigram model does it, or as WordPiece does.

The unigram segmentation is that of Kudo (2018), "Subword Regularization": the pieces whose log probabilities have
the greatest sum, found by Viterbi's algorithm.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.models.tokens.trie import ROOT, Trie

UNKNOWN_PENALTY = 10.0
"""How much less likely than the least likely piece an unknown character is."""

_REMEMBERED_WORDS = 50_000
_REMEMBERED_LENGTH = 40


class Pieces(NamedTuple):
    """A word's token ids, and how many characters each of them covers."""

    ids: tuple[int, ...]
    lengths: tuple[int, ...]


class Remembered:
    """A segmentation that keeps the pieces of short words that it has met."""

    def __init__(self, segment: Callable[[str], Pieces]) -> None:
        self._words = _Words(segment)

    def __call__(self, word: str) -> Pieces:
        """The pieces of a word."""
        return self._words[word]

    def each(self, words: Iterable[str]) -> Iterator[Pieces]:
        """The pieces of each word."""
        return map(self._words.__getitem__, words)


class _Words(dict[str, Pieces]):
    """Pieces by word: those of the last `_REMEMBERED_WORDS` that were asked for, and up to as many before."""

    def __init__(self, segment: Callable[[str], Pieces]) -> None:
        super().__init__()
        self._segment = segment
        self._earlier: dict[str, Pieces] = {}

    def __missing__(self, word: str) -> Pieces:
        found = self._earlier.get(word)
        if found is None:
            found = self._segment(word)
        if len(word) <= _REMEMBERED_LENGTH:
            if len(self) >= _REMEMBERED_WORDS:
                self._earlier = dict(self)
                self.clear()
            self[word] = found
        return found


@dataclass(frozen=True, slots=True)
class UnigramSegmentation:
    """The likeliest pieces of a word. `scores`: log probability of the piece that ends at each node of the trie.

    What no piece covers is unknown, and one token however long. Of equally likely ways the one counts whose last
    piece is the longest, as everywhere in SentencePiece.
    """

    trie: Trie
    scores: Sequence[float]
    unk_id: int
    unk_score: float

    def __call__(self, word: str) -> Pieces:
        """The pieces of a word."""
        points, first, pieces, scores = self.trie.points, self.trie.first, self.trie.pieces, self.scores
        characters = [ord(character) for character in word]
        size = len(characters)
        best = [-1e300] * (size + 1)
        best[0] = 0.0
        before, chosen = [0] * (size + 1), [self.unk_id] * (size + 1)
        for start in range(size):
            so_far, node, is_known = best[start], ROOT, False
            for end in range(start, size):
                point = characters[end]
                stop = first[node + 1]
                child = bisect_left(points, point, first[node], stop)
                if child == stop or points[child] != point:
                    break
                node = child + 1
                piece = pieces[node]
                if piece >= 0:
                    is_known = is_known or end == start
                    score = so_far + scores[node]
                    if score > best[end + 1]:
                        best[end + 1], before[end + 1], chosen[end + 1] = score, start, piece
            if not is_known and so_far + self.unk_score > best[start + 1]:
                best[start + 1] = so_far + self.unk_score
                before[start + 1], chosen[start + 1] = start, self.unk_id
        return self._traced(before, chosen)

    def _traced(self, before: list[int], chosen: list[int]) -> Pieces:
        ids: list[int] = []
        lengths: list[int] = []
        end = len(before) - 1
        while end > 0:
            start = before[end]
            if chosen[end] == self.unk_id and ids and ids[-1] == self.unk_id:
                lengths[-1] += end - start
            else:
                ids.append(chosen[end])
                lengths.append(end - start)
            end = start
        return Pieces(tuple(reversed(ids)), tuple(reversed(lengths)))


@dataclass(frozen=True, slots=True)
class WordPieceSegmentation:
    """The longest piece at the start of a word, then the longest at the start of what is left, and so on.

    `inner`: the node of what marks a piece inside a word (`##`), 0 if no piece begins so. A word of more than
    `longest` characters, or with a rest that no piece begins, is unknown as a whole.
    """

    trie: Trie
    inner: int
    unk_id: int
    longest: int

    def __call__(self, word: str) -> Pieces:
        """The pieces of a word."""
        step, pieces = self.trie.step, self.trie.pieces
        unknown = Pieces((self.unk_id,), (len(word),))
        if len(word) > self.longest:
            return unknown
        ids: list[int] = []
        lengths: list[int] = []
        start = 0
        while start < len(word):
            if start and self.inner == ROOT:
                return unknown
            node, found, stop = (self.inner if start else ROOT), -1, start
            for end in range(start, len(word)):
                node = step(node, ord(word[end]))
                if node == ROOT:
                    break
                if pieces[node] >= 0:
                    found, stop = pieces[node], end + 1
            if found < 0:
                return unknown
            ids.append(found)
            lengths.append(stop - start)
            start = stop
        return Pieces(tuple(ids), tuple(lengths))
