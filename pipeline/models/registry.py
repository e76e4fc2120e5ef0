"""From settings to an encoder. A new kind of encoder is one branch of `load_encoder` or `_lexical`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import EncoderSettings
from pipeline.errors import EncoderError
from pipeline.models.bm25 import Bm25Encoder
from pipeline.models.contract import Encoder, LexicalScoring
from pipeline.models.embedded import embedded_encoder, embedded_tokenizer
from pipeline.models.transformer import BATCH_TOKENS as EMBEDDED_BATCH_TOKENS
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


def load_encoder(settings: EncoderSettings, *, base: Path = Path(), batch_tokens: int | None = None) -> Encoder:
    """The configured encoder. Cheap: fingerprints are known at once, models are loaded by the first encode.

    `base`: where relative folders start. `batch_tokens`: padded tokens of a batch, by default what suits the model.
    Raises `EncoderError` for a model that is not known, `MissingDependencyError` for one that is not installed.
    """
    if settings.model == "embedded":
        dense: Encoder | None = embedded_encoder(batch_tokens or EMBEDDED_BATCH_TOKENS)
    elif settings.model == "none":
        dense = None
    else:
        from pipeline.models.local import model_encoder

        dense = model_encoder(settings, base, batch_tokens)
    if settings.multivectors and (dense is None or not _gives_multivectors(dense)):
        raise EncoderError(
            f"encoder.multivectors: {settings.model} has no multi-vectors; use BAAI/bge-m3 or remove it"
        )
    if dense and settings.lexical == "auto" and dense.lexical_fingerprint:
        return dense
    lexical = _lexical(settings, base, batch_tokens)
    if dense is None and lexical is None:
        raise EncoderError("encoder.model and encoder.lexical are both `none`: there is nothing to index")
    return MixedEncoder(dense, lexical)


def chunk_tokenizer(settings: EncoderSettings, *, base: Path = Path()) -> Any:
    """The encoder's `tokenizers.Tokenizer`, fresh, with neither truncation nor padding, for chunking."""
    if settings.model in ("embedded", "none"):
        return embedded_tokenizer()
    from pipeline.models.local import model_tokenizer

    return model_tokenizer(settings, base)


def _lexical(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder | None:
    if settings.lexical in ("auto", "bm25"):
        return Bm25Encoder(settings.bm25)
    if settings.lexical == "none":
        return None
    from pipeline.models.local import lexical_encoder

    return lexical_encoder(settings, base, batch_tokens)


def _gives_multivectors(encoder: Encoder) -> bool:
    return bool(getattr(encoder, "gives_multivectors", False))
