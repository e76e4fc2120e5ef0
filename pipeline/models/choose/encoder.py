"""From settings to an encoder. A new kind of encoder is one branch of `load_encoder` or `_lexical`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import EncoderSettings
from pipeline.errors import EncoderError
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.applicable import refuse_unused
from pipeline.models.contract import Encoder, LexicalScoring, Runtime
from pipeline.models.local.embedded import embedded_encoder, embedded_tokenizer
from pipeline.models.local.transformer import BATCH_TOKENS as EMBEDDED_BATCH_TOKENS
from pipeline.records import Encoded, Fingerprint


class MixedEncoder:
    """Dense vectors and multi-vectors of one encoder, lexical weights of another; either may be missing."""

    def __init__(self, dense: Encoder | None, lexical: Encoder | None) -> None:
        self.dense_encoder, self.lexical_encoder = dense, lexical

    @property
    def dense_fingerprint(self) -> Fingerprint | None:
        """The dense encoder's."""
        return self.dense_encoder.dense_fingerprint if self.dense_encoder else None

    @property
    def lexical_fingerprint(self) -> Fingerprint | None:
        """The lexical encoder's."""
        return self.lexical_encoder.lexical_fingerprint if self.lexical_encoder else None

    @property
    def dimension(self) -> int | None:
        """The dense encoder's."""
        return self.dense_encoder.dimension if self.dense_encoder else None

    @property
    def gives_multivectors(self) -> bool:
        """Whether the dense encoder does."""
        return self.dense_encoder is not None and self.dense_encoder.gives_multivectors

    @property
    def lexical_scoring(self) -> LexicalScoring:
        """The lexical encoder's."""
        return self.lexical_encoder.lexical_scoring if self.lexical_encoder else LexicalScoring("dot")

    @property
    def runtime(self) -> Runtime:
        """The dense encoder's, else the lexical encoder's."""
        encoder = self.dense_encoder or self.lexical_encoder
        return encoder.runtime if encoder else Runtime("none", "none", "none")

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages with both encoders."""
        dense = self.dense_encoder.encode_documents(texts) if self.dense_encoder else Encoded()
        lexical = self.lexical_encoder.encode_documents(texts) if self.lexical_encoder else Encoded()
        return Encoded(dense.dense, lexical.lexical, dense.multivectors)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries with both encoders."""
        dense = self.dense_encoder.encode_queries(texts) if self.dense_encoder else Encoded()
        lexical = self.lexical_encoder.encode_queries(texts) if self.lexical_encoder else Encoded()
        return Encoded(dense.dense, lexical.lexical, dense.multivectors)

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """The lexical side's tokens."""
        return self.lexical_encoder.describe_tokens(text) if self.lexical_encoder else {}


def load_encoder(settings: EncoderSettings, *, base: Path = Path(), batch_tokens: int | None = None) -> Encoder:
    """The configured encoder. Cheap: fingerprints are known at once, models are loaded by the first encode.

    `base`: where relative folders start. `batch_tokens`: padded tokens of a batch, by default what suits the model.
    Raises `EncoderError` for a model that is not known, `MissingDependencyError` for one that is not installed,
    `ConfigError` for a setting that the model does not have.
    """
    refuse_unused(settings)
    if settings.model == "embedded":
        precision = None if settings.precision == "auto" else settings.precision
        dense: Encoder | None = embedded_encoder(batch_tokens or EMBEDDED_BATCH_TOKENS, precision)
    elif settings.model == "none":
        dense = None
    elif settings.endpoint is not None:
        from pipeline.models.endpoint.wiring import dense_endpoint

        dense = dense_endpoint(settings, settings.endpoint)
    else:
        from pipeline.models.choose.local import model_encoder

        dense = model_encoder(settings, base, batch_tokens)
    if settings.multivectors and (dense is None or not dense.gives_multivectors):
        raise EncoderError(
            f"encoder.multivectors: {settings.model} has no multi-vectors; use BAAI/bge-m3 or remove it"
        )
    if dense and dense.lexical_fingerprint:
        return dense
    return MixedEncoder(dense, _lexical(settings, base, batch_tokens))


def chunk_tokenizer(settings: EncoderSettings, *, base: Path = Path()) -> Any:
    """The encoder's `tokenizers.Tokenizer`, fresh, with neither truncation nor padding, for chunking."""
    if settings.model in ("embedded", "none") or settings.endpoint is not None:
        return embedded_tokenizer()  # an endpoint's tokenizer is not at hand; sizes are then in its wordpieces
    from pipeline.models.choose.local import model_tokenizer

    return model_tokenizer(settings, base)


def _lexical(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder | None:
    if settings.lexical in ("auto", "bm25"):
        return Bm25Encoder(settings.bm25)
    if settings.lexical == "none":
        return None
    if settings.lexical_endpoint is not None:
        from pipeline.models.endpoint.wiring import lexical_endpoint

        return lexical_endpoint(settings, settings.lexical_endpoint)
    from pipeline.models.choose.local import lexical_encoder

    return lexical_encoder(settings, base, batch_tokens)
