"""Texts → tokens of a SentencePiece unigram vocabulary, from arrays that are mapped rather than loaded.

A text is cut word by word, since no piece holds a space but at its start.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline import arrays
from pipeline.errors import EncoderError
from pipeline.models.e5.data_file import Vocabulary
from pipeline.models.tokens.segmentation import UNKNOWN_PENALTY, Remembered, UnigramSegmentation
from pipeline.models.tokens.trie import TRIE_FILES, Trie, write_trie

SETTINGS_FILE = "unigram.json"
_SCORES = "trie-scores.npy"
UNIGRAM_FILES = (SETTINGS_FILE, _SCORES, *TRIE_FILES)
"""What `write_unigram` writes."""
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
            self.pieces = Remembered(
                UnigramSegmentation(trie, scores.data, int(settings["unk_id"]), float(settings["unk_score"]))
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EncoderError(f"{folder}: not a readable tokenizer: {error}; delete that folder") from error

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


def _words(normalised: str) -> Iterator[str]:
    """The words of a normalised text, `▁` before each; a space at its end is a word of its own."""
    if normalised:
        for word in normalised.removeprefix(" ").split(" "):
            yield _SPACE + word
