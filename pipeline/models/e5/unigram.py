"""Texts → tokens of a SentencePiece unigram vocabulary, from arrays that are mapped rather than loaded.

A text is cut word by word, since no piece holds a space but at its start: in Python, which keeps the pieces of
words, and by a compiled loop (`tokens/kernel.py`) in a process that has cut a lot.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import arrays
from pipeline.errors import EncoderError
from pipeline.models.e5.data_file import Vocabulary
from pipeline.models.tokens import kernel
from pipeline.models.tokens.segmentation import UNKNOWN_PENALTY, Pieces, Remembered, UnigramSegmentation
from pipeline.models.tokens.trie import TRIE_FILES, Trie, write_trie

SETTINGS_FILE = "unigram.json"
_SCORES = "trie-scores.npy"
UNIGRAM_FILES = (SETTINGS_FILE, _SCORES, *TRIE_FILES)
"""What `write_unigram` writes."""
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
_SPACE = "▁"
_RUN_OF_SPACES = re.compile("  +")


def write_unigram(vocabulary: Vocabulary, folder: Path) -> None:
    """Write the vocabulary where `Unigram` finds it. Control symbols such as `<s>` match no text."""
    control = {vocabulary.bos_id, vocabulary.eos_id, vocabulary.pad_id, vocabulary.unk_id}
    kept = np.array([i for i, piece in enumerate(vocabulary.pieces) if i not in control and piece != "<mask>"])
    nodes, count = write_trie([vocabulary.pieces[i] for i in kept], kept, folder)
    scores = np.zeros(count, np.float32)
    scores[nodes] = vocabulary.scores[kept]
    np.save(folder / _SCORES, scores)
    settings = {
        "bos_id": vocabulary.bos_id,
        "eos_id": vocabulary.eos_id,
        "unk_id": vocabulary.unk_id,
        "unk_score": float(vocabulary.scores.min()) - UNKNOWN_PENALTY,
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
            replacements = zip(settings["points"], settings["replacements"], strict=True)
            self._replacements: dict[int, str] = dict(replacements)
            self._uneven = {chr(point) for point, written in self._replacements.items() if len(written) != 1}
            trie, scores = Trie(folder), arrays.mapped(folder / _SCORES)
            if len(scores) != len(trie):
                raise ValueError("the arrays of the trie do not fit together")
            unk_id, unk_score = int(settings["unk_id"]), float(settings["unk_score"])
            self._segmentation = UnigramSegmentation(trie, scores.data, unk_id, unk_score)
            self._words = Remembered(self._in_python)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EncoderError(f"{folder}: not a readable tokenizer: {error}; delete that folder") from error

    def normalised(self, text: str) -> str:
        """The text as the pieces spell it: composed, code points replaced, runs of spaces one space."""
        if not text.isascii():
            text = unicodedata.normalize("NFC", text).replace(_SPACE, " ")
        return _RUN_OF_SPACES.sub(" ", text.translate(self._replacements))

    def ids(self, text: str, most: int | None = None) -> list[int]:
        """Token ids of a text, no special ones among them; at most `most`."""
        marked = _marked(self.normalised(text))
        if most is not None and len(marked) > most:
            words = marked.split(_SPACE, most + 1)[1 : most + 1]  # each is a token at least
            # no piece is that long, so what is cut off is beyond the last one
            marked = "".join(_SPACE + word[: 64 * most - 1] for word in words)
        found: list[int] = self._cut(marked)[0].tolist()
        return found[:most]

    def spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of a text and (start, end) of each, the space before it included.

        Marks are not composed here, so that of a decomposed text there are more tokens than `ids` gives.
        """
        ids, edges = self._edges(text)
        return ids.tolist(), list(pairwise(edges.tolist()))

    def starts(self, text: str) -> Int64:
        """Where each token of `spans` starts."""
        return self._edges(text)[1][:-1]

    def _edges(self, text: str) -> tuple[Int32, Int64]:
        """Token ids, and where each token starts, and the last one ends, in the text."""
        written, origins = self._written(text)
        ids, lengths = self._cut(_marked(written))
        edges = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=edges[1:])
        if not written.startswith(" "):
            edges[1:] -= 1  # the space before the first word is not in the text
        return ids, edges if origins is None else origins[edges]

    def _cut(self, marked: str) -> tuple[Int32, Int32]:
        """Token ids of words with a `▁` before each, and how many characters each token covers."""
        compiled = kernel.available()
        if compiled is None:
            found = list(self._words.each(_SPACE + word for word in marked.split(_SPACE)[1:]))
            ids = np.array(list(chain.from_iterable(pieces.ids for pieces in found)), np.int32)
            return ids, np.array(list(chain.from_iterable(pieces.lengths for pieces in found)), np.int32)
        text = np.frombuffer(marked.encode("utf-32-le", "surrogatepass"), np.uint32)
        ids, lengths = np.empty(len(text), np.int32), np.empty(len(text), np.int32)
        cut = self._segmentation
        count = compiled(*self._arrays, cut.unk_id, cut.unk_score, text, ord(_SPACE), ids, lengths)
        return ids[:count], lengths[:count]

    def _in_python(self, word: str) -> Pieces:
        kernel.count(len(word))
        return self._segmentation(word)

    @cached_property
    def _arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """The trie and the scores, as the compiled loop takes them."""
        trie = self._segmentation.trie
        points, first = np.asarray(trie.points), np.asarray(trie.first)
        return (
            points,
            first,
            np.asarray(trie.pieces),
            np.asarray(self._segmentation.scores),
            kernel.near(points, first),
        )

    def _written(self, text: str) -> tuple[str, npt.NDArray[np.int64] | None]:
        """The normalised text, not composed, and where each of its characters, and its end, come from.

        `None`: each stands where it stood.
        """
        if not self._uneven.isdisjoint(text):
            return self._written_by_character(text)
        even = text.translate(self._replacements).replace(_SPACE, " ")
        if "  " not in even:
            return even, None
        kept = np.ones(len(text) + 1, bool)
        for run in _RUN_OF_SPACES.finditer(even):
            kept[run.start() + 1 : run.end()] = False
        return _RUN_OF_SPACES.sub(" ", even), np.flatnonzero(kept)

    def _written_by_character(self, text: str) -> tuple[str, npt.NDArray[np.int64]]:
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
        return "".join(parts), np.array(origins, np.int64)


def _marked(normalised: str) -> str:
    """The words of a normalised text, `▁` before each; a space at its end is a word of its own."""
    return _SPACE + normalised.removeprefix(" ").replace(" ", _SPACE) if normalised else ""
