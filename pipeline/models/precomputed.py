"""Passages whose vectors are given, and the encoder that made them, for queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline import names
from pipeline.errors import EncoderError
from pipeline.given import PRECOMPUTED, Wanted
from pipeline.models.contract import Encoder, LexicalScoring, Runtime, combines_queries, described_queries
from pipeline.records import Encoded, Fingerprint, SparseRows


class PrecomputedEncoder:
    """The outputs of `query_encoder`, whose passages were encoded elsewhere.

    Its fingerprints say so: what a model encodes here is not mixed with what was given. Without a dense side of
    `query_encoder` no query has a vector, and `dimension` says how many numbers the given ones have.
    BM25 needs nothing given: it is made of the texts.
    """

    def __init__(
        self,
        query_encoder: Encoder,
        dimension: int | None,
        token_dimension: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`token_dimension`: of the multi-vectors, asked for where they are wanted."""
        self.query_encoder = query_encoder
        self._dimension, self._token_dimension = dimension, token_dimension

    @property
    def encodes_queries(self) -> bool:
        """Whether a query gets a vector."""
        return self.query_encoder.dense_fingerprint is not None

    @property
    def dense_fingerprint(self) -> Fingerprint:
        """That of the query encoder, marked as given."""
        made = self.query_encoder.dense_fingerprint
        fields = dict(made.fields) if made else {"kind": PRECOMPUTED, "dimension": str(self._dimension)}
        return Fingerprint.of(**fields, vectors=PRECOMPUTED)

    @property
    def lexical_fingerprint(self) -> Fingerprint | None:
        """That of the query encoder, marked as given unless it is BM25's."""
        made = self.query_encoder.lexical_fingerprint
        if made is None or not self._gives_weights:
            return made
        return Fingerprint.of(**dict(made.fields), weights=PRECOMPUTED)

    @property
    def _gives_weights(self) -> bool:
        return self.query_encoder.lexical_fingerprint is not None and self.lexical_scoring.kind == "dot"

    @property
    def dimension(self) -> int | None:
        """Columns of the dense matrix."""
        return self.query_encoder.dimension if self.encodes_queries else self._dimension

    @property
    def gives_multivectors(self) -> bool:
        """Whether the query encoder does."""
        return self.query_encoder.gives_multivectors

    @property
    def combines_queries(self) -> bool:
        """Whether the query encoder does."""
        return combines_queries(self.query_encoder)

    @property
    def lexical_scoring(self) -> LexicalScoring:
        """How lexical scores are computed, as the query encoder says."""
        return self.query_encoder.lexical_scoring

    @property
    def runtime(self) -> Runtime:
        """Where queries are encoded."""
        return self.query_encoder.runtime

    @property
    def wanted(self) -> Wanted:
        """What every row of the sources has to give. Raises `EncoderError` if the query encoder does not say."""
        if self.dimension is None:
            raise EncoderError("encoder.query_model: does not say how many numbers its vectors have")
        tokens = self._token_dimension() if self.gives_multivectors else None
        return Wanted(self.dimension, self._gives_weights, tokens)

    @property
    def made_by(self) -> dict[str, Fingerprint]:
        """By leg, the fingerprint of what is to have made what is given."""
        dense, lexical = self.query_encoder.dense_fingerprint, self.query_encoder.lexical_fingerprint
        found = {names.DENSE: dense, names.LEXICAL: lexical if self._gives_weights else None}
        return {leg: fingerprint for leg, fingerprint in found.items() if fingerprint is not None}

    def completed(self, given: Encoded, texts: Sequence[str]) -> Encoded:
        """What was given of some texts, with the weights that BM25 makes of them, if it does."""
        if self.lexical_fingerprint is None or self._gives_weights:
            return given
        lexical = getattr(self.query_encoder, "lexical_encoder", None) or self.query_encoder
        return Encoded(given.dense, lexical.encode_documents(texts).lexical, given.multivectors)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """What the query encoder makes of passages: for examples, checks and trials, not for an index."""
        return self.query_encoder.encode_documents(texts)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries."""
        return self.query_encoder.encode_queries(texts)

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """The query encoder's tokens."""
        return self.query_encoder.describe_tokens(text)

    def describe_queries(self, texts: Sequence[str], rows: SparseRows | None = None) -> Sequence[Mapping[int, str]]:
        """The query encoder's tokens of several texts."""
        return described_queries(self.query_encoder, texts, rows)
