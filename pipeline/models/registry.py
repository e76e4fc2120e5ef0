"""From settings to an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config import EncoderSettings
from pipeline.errors import EncoderError
from pipeline.models.bm25 import Bm25Encoder
from pipeline.models.contract import Encoder, LexicalScoring
from pipeline.models.embedded import EmbeddedEncoder, embedded_tokenizer
from pipeline.records import Encoded, Fingerprint


class MixedEncoder:
    """Dense vectors and multi-vectors of one encoder, lexical weights of another; either may be missing."""

    def __init__(self, dense: Encoder | None, lexical: Encoder | None) -> None:
        self._dense, self._lexical = dense, lexical
        self.dense_fingerprint: Fingerprint | None = dense.dense_fingerprint if dense else None
        self.lexical_fingerprint: Fingerprint | None = lexical.lexical_fingerprint if lexical else None
        self.dimension: int | None = dense.dimension if dense else None
        self.lexical_scoring: LexicalScoring = lexical.lexical_scoring if lexical else LexicalScoring("dot")

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages with both encoders."""
        dense = self._dense.encode_documents(texts) if self._dense else Encoded()
        lexical = self._lexical.encode_documents(texts) if self._lexical else Encoded()
        return Encoded(dense.dense, lexical.lexical, dense.multivectors)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries with both encoders."""
        dense = self._dense.encode_queries(texts) if self._dense else Encoded()
        lexical = self._lexical.encode_queries(texts) if self._lexical else Encoded()
        return Encoded(dense.dense, lexical.lexical, dense.multivectors)

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """The lexical side's tokens."""
        return self._lexical.describe_tokens(text) if self._lexical else {}


def load_encoder(settings: EncoderSettings) -> Encoder:
    """The configured encoder. Cheap: fingerprints are known at once, models are loaded by the first encode.

    Raises `EncoderError` for a model that is not known, `MissingDependencyError` for one that is not installed.
    """
    _check(settings)
    return MixedEncoder(EmbeddedEncoder(), Bm25Encoder(settings.bm25))


def chunk_tokenizer(settings: EncoderSettings) -> Any:
    """The encoder's `tokenizers.Tokenizer`, fresh, with neither truncation nor padding, for chunking."""
    _check(settings)
    return embedded_tokenizer()


def _check(settings: EncoderSettings) -> None:
    if settings.model != "embedded":
        raise EncoderError(f"encoder.model={settings.model!r} is not known; choose one of: embedded")
