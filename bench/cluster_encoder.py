"""An encoder kind for bench/cluster.py, which its workers import: made-up vectors at a fixed cost a text.

`SECONDS_A_TEXT` in the environment is what a text costs to encode, `READING_SECONDS` what a chunk costs whose
tokens are counted; the time is slept, so that workers on one machine do not take it from each other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import made_up

from pipeline.config import EncoderSettings
from pipeline.models.choose.kind import Kind
from pipeline.models.choose.kinds import known_kinds, register
from pipeline.models.contract import Encoder
from pipeline.models.local.english import english_tokenizer
from pipeline.names import DENSE
from pipeline.records import Encoded

WORD = "made-up-at-a-cost"
SECONDS, READING_SECONDS = "SECONDS_A_TEXT", "READING_SECONDS"


class Slow(made_up.Vectors):
    """Waits before it answers."""

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """The texts' vectors, after their time."""
        time.sleep(float(os.environ.get(SECONDS, "0")) * len(texts))
        return super().encode_documents(texts)


class SlowTokenizer:
    """Waits before it says how many tokens chunks have. The rest is that of the embedded model's."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def encode_batch_fast(self, texts: Sequence[str], **options: Any) -> Any:
        """The tokens of chunks, after their time."""
        time.sleep(float(os.environ.get(READING_SECONDS, "0")) * len(texts))
        return self._inner.encode_batch_fast(texts, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _tokenizer(settings: EncoderSettings, base: Path) -> Any:
    return SlowTokenizer(english_tokenizer())


def _load(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    return Slow(settings.truncate_dim or 384)


if all(WORD not in kind.words for kind in known_kinds()):
    register(
        Kind(
            "made up at a cost",
            DENSE,
            _load,
            words=(WORD,),
            settings=frozenset({"truncate_dim"}),
            tokenizer=_tokenizer,
            has_model=False,
        )
    )
