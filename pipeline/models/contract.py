"""What every encoder and every reranker offers, whatever runs underneath."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline import names
from pipeline.records import Encoded, Fingerprint, Float32, SparseRows


@dataclass(frozen=True, slots=True)
class LexicalScoring:
    """How the lexical leg turns a document's stored weights into scores.

    `dot`: the stored weight itself, so a score is Σ w_query · w_doc.
    `bm25`: the stored weight is a term frequency; idf and the mean length come from the whole live index.
    """

    kind: Literal["dot", "bm25"]
    k1: float = 1.2
    b: float = 0.75


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where an encoder computes: what runs it, on which device (or behind which URL), and in which precision."""

    name: str
    device: str
    precision: str


class Encoder(Protocol):
    """Turns texts into dense vectors, lexical weights and multi-vectors; one caller at a time."""

    @property
    def dense_fingerprint(self) -> Fingerprint | None:
        """Fingerprint of the dense (and multi-vector) output; `None` if there is none."""

    @property
    def lexical_fingerprint(self) -> Fingerprint | None:
        """Fingerprint of the lexical output; `None` if there is none."""

    @property
    def dimension(self) -> int | None:
        """Columns of the dense matrix."""

    @property
    def gives_multivectors(self) -> bool:
        """Whether documents and queries come with token-level vectors too."""

    @property
    def lexical_scoring(self) -> LexicalScoring:
        """How lexical scores are computed from what this encoder writes."""

    @property
    def runtime(self) -> Runtime:
        """Where it computes (the dense side, if there is one); loads nothing."""

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages; any number of texts, order kept. Raises `EncoderError`."""

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries. For `bm25` scoring the lexical weights are the query's term frequencies."""

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """The readable form of each token id that `text` gives as a query."""


def combines_queries(encoder: Encoder) -> bool:
    """Whether queries that are encoded together get the bits that each gets alone: the attribute
    `combines_queries`, which an encoder need not have."""
    return bool(getattr(encoder, "combines_queries", False))


def described_queries(
    encoder: Encoder, texts: Sequence[str], rows: SparseRows | None = None
) -> Sequence[Mapping[int, str]]:
    """What `describe_tokens` says of each text. `rows`: the texts' weights as queries, where they are known.

    An encoder that has to encode a text to describe it may offer `describe_queries`, which takes the same and
    encodes what is left to encode in one call.
    """
    at_once = getattr(encoder, "describe_queries", None)
    if at_once is None:
        return [encoder.describe_tokens(text) for text in texts]
    found: Sequence[Mapping[int, str]] = at_once(texts, rows)
    return found


def leg_fingerprints(encoder: Encoder) -> dict[str, Fingerprint | None]:
    """Return an encoder's fingerprints by leg; `None` for a side that it has not."""
    return {names.DENSE: encoder.dense_fingerprint, names.LEXICAL: encoder.lexical_fingerprint}


class Reranker(Protocol):
    """Scores passages for a query; one caller at a time."""

    @property
    def runtime(self) -> Runtime:
        """Where it computes; loads nothing."""

    def score(self, query: str, passages: Sequence[str]) -> Float32:
        """The model's logit for each passage, float32 (n,); higher is better. Raises `EncoderError`."""


TokenCounter = Callable[[str], int]
"""Number of tokens a text has for the encoder's tokenizer, special tokens not counted."""
