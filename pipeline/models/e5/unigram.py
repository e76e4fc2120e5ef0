"""Texts → tokens of a SentencePiece unigram vocabulary, from arrays that are mapped rather than loaded.

The pieces stand in a trie of code points, so that a process that tokenises one query reads a few pages of it. The
segmentation is that of Kudo (2018), "Subword Regularization": the pieces whose log probabilities have the greatest
sum, found by Viterbi's algorithm, word by word, since no piece holds a space but at its start.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import arrays
from pipeline.errors import EncoderError
from pipeline.models.e5.data_file import Vocabulary

SETTINGS_FILE = "unigram.json"
_POINTS, _FIRST, _PIECES, _SCORES = (f"trie-{name}.npy" for name in ("points", "first", "pieces", "scores"))
_SPACE = "▁"
_POINT_BITS = 21
_UNKNOWN_PENALTY = 10.0
_REMEMBERED_WORDS = 50_000
_REMEMBERED_LENGTH = 40
_RUN_OF_SPACES = re.compile("  +")


class Pieces(NamedTuple):
    """A word's token ids, and how many characters each of them covers, that of the space before it included."""

    ids: tuple[int, ...]
    lengths: tuple[int, ...]


def write_unigram(vocabulary: Vocabulary, folder: Path) -> None:
    """Write the vocabulary where `Unigram` finds it. Control symbols such as `<s>` match no text."""
    control = {vocabulary.bos_id, vocabulary.eos_id, vocabulary.pad_id, vocabulary.unk_id}
    kept = np.array([i for i, piece in enumerate(vocabulary.pieces) if i not in control and piece != "<mask>"])
    texts = np.array([vocabulary.pieces[i] for i in kept])
    points = texts.view(np.uint32).reshape(len(texts), -1)
    lengths = np.strings.str_len(texts)
    nodes = np.zeros(len(texts), np.uint64)
    keys, ends, count = [], [], 0
    for depth in range(points.shape[1]):
        deep = np.flatnonzero(lengths > depth)
        found, place = np.unique(
            (nodes[deep] << np.uint64(_POINT_BITS)) | points[deep, depth].astype(np.uint64), return_inverse=True
        )
        nodes[deep] = (count + 1 + place).astype(np.uint64)
        count += len(found)
        keys.append(found)
        ends.append(np.flatnonzero(lengths == depth + 1))
    sorted_keys = np.concatenate(keys)  # ascending as they are: a deeper node's parent has a higher number
    ended = np.concatenate(ends)
    pieces, scores = np.full(count + 1, -1, np.int32), np.zeros(count + 1, np.float32)
    pieces[nodes[ended].astype(np.int64)] = kept[ended]
    scores[nodes[ended].astype(np.int64)] = vocabulary.scores[kept[ended]]
    parents = sorted_keys >> np.uint64(_POINT_BITS)
    np.save(folder / _POINTS, (sorted_keys & np.uint64((1 << _POINT_BITS) - 1)).astype(np.uint32))
    np.save(folder / _FIRST, np.searchsorted(parents, np.arange(count + 2)).astype(np.int32))
    np.save(folder / _PIECES, pieces)
    np.save(folder / _SCORES, scores)
    settings = {
        "bos_id": vocabulary.bos_id,
        "eos_id": vocabulary.eos_id,
        "unk_id": vocabulary.unk_id,
        "unk_score": float(vocabulary.scores.min()) - _UNKNOWN_PENALTY,
        "points": list(vocabulary.normalization),
        "replacements": list(vocabulary.normalization.values()),
    }
    (folder / SETTINGS_FILE).write_text(json.dumps(settings), "utf-8")


class Unigram:
    """A vocabulary that `write_unigram` wrote. Opens in milliseconds. Raises `EncoderError` for damaged files."""

    def __init__(self, folder: Path) -> None:
        try:
            settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
            self.bos_id, self.eos_id = int(settings["bos_id"]), int(settings["eos_id"])
            self._unk_id, self._unk_score = int(settings["unk_id"]), float(settings["unk_score"])
            replacements = zip(settings["points"], settings["replacements"], strict=True)
            self._replacements: dict[int, str] = dict(replacements)
            self._uneven = {chr(point) for point, written in self._replacements.items() if len(written) != 1}
            self._points, self._first, self._pieces, self._scores = (
                arrays.mapped(folder / name).data for name in (_POINTS, _FIRST, _PIECES, _SCORES)
            )
            if len(self._first) != len(self._points) + 2 or not (
                len(self._pieces) == len(self._scores) == len(self._points) + 1
            ):
                raise ValueError("the arrays of the trie do not fit together")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EncoderError(f"{folder}: not a readable tokenizer: {error}; delete that folder") from error
        self._words: dict[str, Pieces] = {}

    def normalised(self, text: str) -> str:
        """The text as the pieces spell it: composed, code points replaced, runs of spaces one space."""
        if not text.isascii():
            text = unicodedata.normalize("NFC", text).replace(_SPACE, " ")
        return _RUN_OF_SPACES.sub(" ", text.translate(self._replacements))

    def ids(self, text: str, most: int | None = None) -> list[int]:
        """Token ids of a text, no special ones among them; at most `most`."""
        found: list[int] = []
        for word in _words(self.normalised(text)):
            if most is not None:
                if len(found) >= most:
                    break
                word = word[: 64 * most]  # no piece is that long, so what is cut off is beyond the last one
            found += self.pieces(word).ids
        return found[:most]

    def spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of a text and (start, end) of each, the space before it included.

        Marks are not composed here, so that of a decomposed text there are more tokens than `ids` gives.
        """
        written, origins = self._written(text)
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        place = 0
        for i, word in enumerate(_words(written)):
            found = self.pieces(word)
            ids += found.ids
            for length in found.lengths:
                start = place
                place += length
                if i == 0 and not spans and not written.startswith(" "):
                    place -= 1  # the space before the first word is not in the text
                spans.append((origins[start], origins[place]))
        return ids, spans

    def pieces(self, word: str) -> Pieces:
        """The tokens of a word, `▁` before it."""
        found = self._words.get(word)
        if found is None:
            found = self._best(word)
            if len(word) <= _REMEMBERED_LENGTH:
                if len(self._words) >= _REMEMBERED_WORDS:
                    self._words.clear()
                self._words[word] = found
        return found

    def _written(self, text: str) -> tuple[str, Sequence[int]]:
        """The normalised text, not composed, and where each of its characters, and its end, come from."""
        if not self._uneven.isdisjoint(text):
            return self._written_by_character(text)
        even = text.translate(self._replacements).replace(_SPACE, " ")
        kept: list[int] = []
        place = 0
        for run in _RUN_OF_SPACES.finditer(even):
            kept += range(place, run.start() + 1)
            place = run.end()
        kept += range(place, len(text) + 1)
        return _RUN_OF_SPACES.sub(" ", even), kept

    def _written_by_character(self, text: str) -> tuple[str, Sequence[int]]:
        parts: list[str] = []
        origins: list[int] = []
        replacements, last = self._replacements, ""
        for place, character in enumerate(text):
            for written in replacements.get(ord(character), character):
                written = " " if written == _SPACE else written
                if written == " " and last == " ":
                    continue
                last = written
                parts.append(written)
                origins.append(place)
        origins.append(len(text))
        return "".join(parts), origins

    def _best(self, word: str) -> Pieces:
        points, first, pieces, scores = self._points, self._first, self._pieces, self._scores
        characters = [ord(character) for character in word]
        size = len(characters)
        best = [-1e300] * (size + 1)
        best[0] = 0.0
        before, chosen = [0] * (size + 1), [self._unk_id] * (size + 1)
        for start in range(size):
            so_far, node, is_known = best[start], 0, False
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
            if not is_known and so_far + self._unk_score > best[start + 1]:
                best[start + 1] = so_far + self._unk_score
                before[start + 1], chosen[start + 1] = start, self._unk_id
        return self._traced(before, chosen)

    def _traced(self, before: list[int], chosen: list[int]) -> Pieces:
        ids: list[int] = []
        lengths: list[int] = []
        end = len(before) - 1
        while end > 0:
            start = before[end]
            if chosen[end] == self._unk_id and ids and ids[-1] == self._unk_id:
                lengths[-1] += end - start  # what is unknown is one token, however long
            else:
                ids.append(chosen[end])
                lengths.append(end - start)
            end = start
        return Pieces(tuple(reversed(ids)), tuple(reversed(lengths)))


def _words(normalised: str) -> Iterator[str]:
    """The words of a normalised text, `▁` before each; a space at its end is a word of its own."""
    if normalised:
        for word in normalised.removeprefix(" ").split(" "):
            yield _SPACE + word
