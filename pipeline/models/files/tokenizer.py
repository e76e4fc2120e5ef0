"""Texts → token ids with Hugging Face's Rust tokenizers, and nothing of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import EncoderError
from pipeline.startup.installed import told_what_to_install

TOKENIZER_FILE = "tokenizer.json"
TokenIds = npt.NDArray[np.int32]


def load_tokenizer(path: Path) -> Any:
    """A `tokenizers.Tokenizer` from tokenizer.json, its own truncation and padding switched off.

    Raises `EncoderError` naming the file, also for a tokenizer without a vocabulary: transformers invents one where
    a folder has none.
    """
    with told_what_to_install():
        from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exception
        raise EncoderError(f"{path}: not a readable tokenizer: {error}") from error
    if tokenizer.get_vocab_size() <= len(tokenizer.get_added_tokens_decoder()):
        raise EncoderError(
            f"{path}: knows no word, only special tokens, so that every text would look the same; "
            "fetch the model's tokenizer again"
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def lacks_vocabulary(tokenizer: Any) -> bool:
    """Whether a tokenizer of transformers has special tokens only: it invents one where a folder has none."""
    added = getattr(tokenizer, "added_tokens_decoder", None)
    return added is not None and len(tokenizer) <= len(added)


def encodable(text: str) -> str:
    """The text with each lone surrogate as `?`, which no tokenizer takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


class TextTokenizer:
    """A model's whole tokenizer, in memory. `limit` says where texts are cut; padding is left to the batcher."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = load_tokenizer(path)

    def limit(self, max_tokens: int) -> TextTokenizer:
        """This tokenizer, cutting each text to `max_tokens` tokens, special tokens counted."""
        self._tokenizer.enable_truncation(max_length=max_tokens)
        return self

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of each text, special tokens included. A lone surrogate is read as `?`."""
        try:
            encodings = self._tokenizer.encode_batch_fast(texts)
        except (TypeError, UnicodeEncodeError):
            encodings = self._tokenizer.encode_batch_fast([encodable(text) for text in texts])
        return [np.asarray(encoding.ids, dtype=np.int32) for encoding in encodings]

    def token(self, token_id: int) -> str:
        """The vocabulary's form of a token, or an empty string."""
        return self._tokenizer.id_to_token(token_id) or ""

    def special_id(self, token: str | None) -> int | None:
        """Id of a special token, or `None` if the vocabulary has no such token."""
        found: int | None = self._tokenizer.token_to_id(token) if token else None
        return found
