"""The tokens of a few texts without the vocabulary in memory; those of many texts by `tokenizers` itself.

What `tokenizers` does before it looks pieces up (normalise, cut into words) it does here too, on a tokenizer.json
without its vocabulary, which is parsed in a millisecond. The pieces come from a trie that is mapped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import arrays
from pipeline.errors import EncoderError
from pipeline.models.files import cache
from pipeline.models.files.tokenizer import TextTokenizer, TokenIds, encodable
from pipeline.models.tokens.segmentation import Remembered, UnigramSegmentation, WordPieceSegmentation
from pipeline.models.tokens.trie import Trie
from pipeline.startup.installed import told_what_to_install

BARE_FILE, SETTINGS_FILE = "bare.json", "tokens.json"
SCORES_FILE, NODES_FILE = "trie-scores.npy", "nodes.npy"
LIBRARY, UNIGRAM, WORDPIECE = "library", "unigram", "wordpiece"
MOST_CHARACTERS = 16_384
"""Of the texts of a call. Beyond, parsing the whole tokenizer.json once costs less than cutting words here."""


def open_tokenizer(folder: Path, whole: Callable[[], Path]) -> TextTokenizer | CompactTokenizer:
    """The tokenizer in a folder of `conversion.convert`. `whole`: where the tokenizer.json is that was converted.

    Raises `EncoderError` for damaged files.
    """
    try:
        settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
        if settings["kind"] != LIBRARY:
            return CompactTokenizer(folder, settings, whole)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{folder}: not a readable tokenizer: {error}; delete that folder") from error
    return TextTokenizer(whole())


class CompactTokenizer:
    """Gives what `TextTokenizer` gives, id for id.

    `limit` says where texts are cut. Not for texts that spell an added token (`<s>`, say), nor for many texts at
    once: for those the whole tokenizer is loaded, and stays.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], whole: Callable[[], Path]) -> None:
        """Raises `OSError`, `ValueError`, `KeyError` or `TypeError` for what `conversion.convert` did not write."""
        self._folder, self._whole_path = folder, whole
        self._whole_checksum = str(settings["checksum"])
        self._trie = Trie(folder)
        self._nodes = arrays.mapped(folder / NODES_FILE).data
        self._pieces = Remembered(_segmentation(folder, settings, self._trie))
        self._before, self._after = [int(i) for i in settings["before"]], [int(i) for i in settings["after"]]
        self._added = {str(content): int(i) for content, i in settings["added"].items()}
        self._texts = {i: content for content, i in self._added.items()}
        bare = _bare(folder / BARE_FILE)
        self._normalizer, self._pre_tokenizer = bare.normalizer, bare.pre_tokenizer
        spelled = [self._normalised(content) for content in self._added]
        self._spelled = tuple(dict.fromkeys(content for content in (*self._added, *spelled) if content))
        self._room: int | None = None
        self._most_tokens: int | None = None
        self._whole: TextTokenizer | None = None

    def limit(self, max_tokens: int) -> CompactTokenizer:
        """This tokenizer, cutting each text to `max_tokens` tokens, special tokens counted."""
        self._most_tokens = max_tokens
        self._room = max(0, max_tokens - len(self._before) - len(self._after))
        if self._whole is not None:
            self._whole.limit(max_tokens)
        return self

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of each text, special tokens included. A lone surrogate is read as `?`."""
        found = None if self._whole is not None else self.few(texts)
        return self._library().encode(texts) if found is None else found

    def few(self, texts: Sequence[str]) -> list[TokenIds] | None:
        """`encode` of texts that are few and spell no added token; `None` where it takes the whole tokenizer."""
        if sum(map(len, texts)) > MOST_CHARACTERS:
            return None
        rows: list[TokenIds] = []
        for text in map(encodable, texts):
            normalised = self._normalised(text)
            if any(content in text or content in normalised for content in self._spelled):
                return None
            ids: list[int] = []
            for word in self._words(normalised):
                ids += self._pieces(word).ids
            rows.append(np.array([*self._before, *ids[: self._room], *self._after], np.int32))
        return rows

    def token(self, token_id: int) -> str:
        """The vocabulary's form of a token, or an empty string."""
        if (content := self._texts.get(token_id)) is not None:
            return content
        node = self._nodes[token_id] if 0 <= token_id < len(self._nodes) else 0
        return self._trie.text(node)

    def special_id(self, token: str | None) -> int | None:
        """Id of a special token, or `None` if the vocabulary has no such token."""
        if not token:
            return None
        found = self._added.get(token, self._trie.find(token))
        return None if found < 0 else found

    def _normalised(self, text: str) -> str:
        return text if self._normalizer is None else str(self._normalizer.normalize_str(text))

    def _words(self, normalised: str) -> list[str]:
        if self._pre_tokenizer is None:
            return [normalised]
        return [word for word, _ in self._pre_tokenizer.pre_tokenize_str(normalised)]

    def _library(self) -> TextTokenizer:
        if self._whole is None:
            path = self._whole_path()
            if cache.file_checksum(path) != self._whole_checksum:
                raise EncoderError(
                    f"{path}: is not the tokenizer that {self._folder} was made of; delete that folder"
                )
            whole = TextTokenizer(path)
            self._whole = whole if self._most_tokens is None else whole.limit(self._most_tokens)
        return self._whole


def _segmentation(
    folder: Path, settings: Mapping[str, Any], trie: Trie
) -> UnigramSegmentation | WordPieceSegmentation:
    unk_id = int(settings["unk_id"])
    if settings["kind"] == WORDPIECE:
        return WordPieceSegmentation(trie, trie.walk(str(settings["inner"])), unk_id, int(settings["longest"]))
    if settings["kind"] != UNIGRAM:
        raise ValueError(f"its kind is {settings['kind']!r}")
    scores = arrays.mapped(folder / SCORES_FILE)
    if len(scores) != len(trie):
        raise ValueError("the arrays of the trie do not fit together")
    return UnigramSegmentation(trie, scores.data, unk_id, float(settings["unk_score"]))


def _bare(path: Path) -> Any:
    with told_what_to_install():
        from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exception
        raise ValueError(f"{path.name}: {error}") from error
