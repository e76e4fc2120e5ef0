"""The tokenizer of multilingual-e5-small, as an encoder uses it and as a chunker does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.models.e5.origin import DATA_SHA256
from pipeline.models.e5.unigram import Unigram
from pipeline.models.files.tokenizer import TokenIds, encodable

_SPECIAL_TOKENS = 2


class E5Tokenizer:
    """Cuts each text to `max_tokens` tokens, `<s>` and `</s>` counted; padding is left to the batcher."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self._unigram, self._room = Unigram(folder), max_tokens - _SPECIAL_TOKENS

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of each text, special tokens included. A lone surrogate is read as `?`."""
        first, last = self._unigram.bos_id, self._unigram.eos_id
        return [
            np.array([first, *self._unigram.ids(encodable(text), self._room), last], np.int32) for text in texts
        ]

    def token(self, token_id: int) -> str:
        """An empty string: nobody is shown tokens of a model without lexical weights."""
        return ""


class Encoding(NamedTuple):
    """The tokens of a text. `offsets`: (start, end) of each in the text; special tokens have (0, 0)."""

    ids: list[int]
    offsets: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.ids)


class ChunkTokenizer:
    """What a chunker asks of a `tokenizers.Tokenizer`, of this model; it neither cuts nor pads."""

    truncation: None = None
    padding: None = None
    contents_digest = f"multilingual-e5-small {DATA_SHA256[:16]}"
    """Stands for the vocabulary and for how it is used."""

    def __init__(self, folder: Path) -> None:
        self._unigram = Unigram(folder)

    def encode(self, text: str, add_special_tokens: bool = True) -> Encoding:
        """Token ids of a text and where the tokens stand in it."""
        text, unigram = encodable(text), self._unigram
        ids, offsets = unigram.spans(text)
        if not add_special_tokens:
            return Encoding(ids, offsets)
        return Encoding([unigram.bos_id, *ids, unigram.eos_id], [(0, 0), *offsets, (0, 0)])

    def encode_batch(self, texts: Iterable[str], add_special_tokens: bool = True) -> list[Encoding]:
        """`encode` of each text."""
        return [self.encode(text, add_special_tokens) for text in texts]

    def encode_batch_fast(self, texts: Iterable[str], add_special_tokens: bool = True) -> list[list[int]]:
        """Token ids of each text alone."""
        first, last = self._unigram.bos_id, self._unigram.eos_id
        found = [self._unigram.ids(encodable(text)) for text in texts]
        return [[first, *ids, last] for ids in found] if add_special_tokens else found

    def starts(self, text: str) -> npt.NDArray[np.int64]:
        """Where each token of a text starts, special ones not among them: the first of `encode`'s offsets."""
        return self._unigram.starts(encodable(text))

    def num_special_tokens_to_add(self, is_pair: bool) -> int:
        """Tokens that `encode` adds to a text (or to a pair of them, which this model does not read)."""
        return _SPECIAL_TOKENS
