"""From settings to an encoder: that of the kind they choose, or of two kinds, one for each side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config import EncoderSettings
from pipeline.errors import EncoderError
from pipeline.models.choose.applicable import refuse_unused
from pipeline.models.choose.kind import Kind
from pipeline.models.choose.kinds import resolve
from pipeline.models.contract import Encoder, LexicalScoring, Runtime, combines_queries, described_queries
from pipeline.models.local.english import english_tokenizer
from pipeline.models.precomputed import PrecomputedEncoder
from pipeline.records import Encoded, Fingerprint, SparseRows


class MixedEncoder:
    """Dense vectors and multi-vectors of one encoder, lexical weights of another; either may be missing."""

    def __init__(self, dense: Encoder | None, lexical: Encoder | None) -> None:
        self.dense_encoder, self.lexical_encoder = dense, lexical

    @property
    def dense_fingerprint(self) -> Fingerprint | None:
        """Fingerprint of the dense output, as the dense encoder says."""
        return self.dense_encoder.dense_fingerprint if self.dense_encoder else None

    @property
    def lexical_fingerprint(self) -> Fingerprint | None:
        """Fingerprint of the lexical output, as the lexical encoder says."""
        return self.lexical_encoder.lexical_fingerprint if self.lexical_encoder else None

    @property
    def dimension(self) -> int | None:
        """Columns of the dense matrix, as the dense encoder says."""
        return self.dense_encoder.dimension if self.dense_encoder else None

    @property
    def gives_multivectors(self) -> bool:
        """Whether the dense encoder does."""
        return self.dense_encoder is not None and self.dense_encoder.gives_multivectors

    @property
    def combines_queries(self) -> bool:
        """Whether both encoders do."""
        sides = (self.dense_encoder, self.lexical_encoder)
        return all(combines_queries(side) for side in sides if side is not None)

    @property
    def lexical_scoring(self) -> LexicalScoring:
        """How lexical scores are computed, as the lexical encoder says."""
        return self.lexical_encoder.lexical_scoring if self.lexical_encoder else LexicalScoring("dot")

    @property
    def runtime(self) -> Runtime:
        """Where it computes, the dense encoder's if there is one."""
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

    def describe_queries(self, texts: Sequence[str], rows: SparseRows | None = None) -> Sequence[Mapping[int, str]]:
        """The lexical side's tokens of several texts."""
        return described_queries(self.lexical_encoder, texts, rows) if self.lexical_encoder else [{} for _ in texts]


def load_encoder(
    settings: EncoderSettings,
    *,
    base: Path = Path(),
    batch_tokens: int | None = None,
    bundled: Path | None = None,
) -> Encoder:
    """The configured encoder. Cheap: fingerprints are known at once, models are loaded by the first encode.

    `base`: where relative folders start. `batch_tokens`: padded tokens of a batch, by default what suits the model.
    `bundled`: a folder of models that came with an index; a side that has one there loads that.
    Raises `EncoderError` for a model that is not known, `MissingDependencyError` for one that is not installed,
    `ConfigError` for a setting that the model does not have.
    """
    if settings.is_precomputed:
        made_by = load_encoder(settings.for_queries, base=base, batch_tokens=batch_tokens, bundled=bundled)
        return PrecomputedEncoder(made_by, settings.dimension, partial(_token_dimension, settings, base, made_by))
    refuse_unused(settings)
    choice = resolve(settings)
    dense = _side(choice.dense, settings, base, batch_tokens, bundled)
    if settings.multivectors and (dense is None or not dense.gives_multivectors):
        raise EncoderError(
            f"encoder.multivectors: {settings.model} has no multi-vectors; use BAAI/bge-m3 or remove it"
        )
    if dense and dense.lexical_fingerprint:
        return dense
    return MixedEncoder(dense, _side(choice.lexical, settings, base, batch_tokens, bundled))


def _token_dimension(settings: EncoderSettings, base: Path, encoder: Encoder) -> int | None:
    """How many numbers a multi-vector has: as many as a vector that is not cut."""
    if settings.truncate_dim is None:
        return encoder.dimension
    return load_encoder(settings.for_queries.model_copy(update={"truncate_dim": None}), base=base).dimension


def _side(
    kind: Kind | None, settings: EncoderSettings, base: Path, batch_tokens: int | None, bundled: Path | None
) -> Encoder | None:
    if kind is None:
        return None
    if bundled is not None and kind.has_model and (bundled / kind.leg).is_dir():
        from pipeline.models.portable.reading import portable_side

        return portable_side(bundled / kind.leg, settings)
    return kind.load(settings, base, batch_tokens)


def chunk_tokenizer(settings: EncoderSettings, *, base: Path = Path()) -> Any:
    """The encoder's `tokenizers.Tokenizer`, fresh, with neither truncation nor padding, for chunking."""
    settings = settings.for_queries
    dense = resolve(settings).dense
    if dense is None or dense.tokenizer is None:
        return english_tokenizer()  # an endpoint's tokenizer is not at hand; sizes are then in wordpieces
    return dense.tokenizer(settings, base)
