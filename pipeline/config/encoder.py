"""The section `encoder` of config.yaml, and what the names in it mean: no other module compares them with words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.search import EndpointSection, Settings
from pipeline.given import PRECOMPUTED

EMBEDDED, EMBEDDED_ENGLISH, AUTO, BM25, NONE = "embedded", "embedded-english", "auto", "bm25", "none"
DENSE_WORDS = (EMBEDDED, EMBEDDED_ENGLISH, PRECOMPUTED, NONE)
"""What `encoder.model` may say instead of naming a model; `none` is nothing, `precomputed` the model that
`encoder.query_model` names, the others are `Builtin`."""
LEXICAL_WORDS = (AUTO, BM25, NONE)
"""The same of `encoder.lexical`."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """The encoder goes without this side."""


@dataclass(frozen=True, slots=True)
class Builtin:
    """What the package brings itself, by its word. It computes on the CPU, in one process on all cores."""

    name: str


@dataclass(frozen=True, slots=True)
class Local:
    """What this machine loads: a hub id, a folder, or the word of a kind that somebody registered."""

    name: str


@dataclass(frozen=True, slots=True)
class Remote:
    """A model that a server runs."""

    name: str
    endpoint: EndpointSection


Side = Nothing | Builtin | Local | Remote
"""What one side of the encoder, dense or lexical, is."""


class Bm25Settings(Settings):
    """What BM25 takes for terms, and how it scores them.

    `languages`: ISO 639 codes of the languages whose words are stemmed, one for each script; `auto`: those that the
    collection is mostly in, found by the first build. `stemmer`: a Snowball algorithm for Latin script in place of
    its language's, or none. `korean`: words in Hangul give their stems, found by rules, or all syllable bigrams, or
    morphemes (the extra `korean`). `identifiers`: whether `parse_json` and `readFile` are found by their parts,
    too. An index goes on with what it was built with, unless it is set here.
    """

    k1: float = Field(default=1.2, ge=0)
    b: float = Field(default=0.75, ge=0, le=1)
    languages: Literal["auto"] | list[str] = "auto"
    stemmer: str | None = "auto"
    korean: Literal["stems", "bigrams", "morphemes"] = "stems"
    identifiers: Literal["parts", "whole"] = "parts"


class EncoderSettings(Settings):
    """What encodes.

    `model`: `embedded`, `embedded-english`, a hub id, a folder, `none` for a lexical index, or `precomputed`: the
    sources give the vectors of passages, and `query_model` names what made them and encodes queries; without one,
    `dimension` says how long they are. All other settings are then those of `query_model`. `lexical`: `auto`
    (the model's own lexical head if it has one, else BM25), `bm25`, `none`, or the id or folder of a sparse encoder
    or a BGE-M3.
    `query_instruction` and `document_instruction` are put, verbatim, before each text; unset, the model's own are
    used. `task`: what an instruct model is told to do. `endpoint` serves `model`, `lexical_endpoint` `lexical`.
    """

    model: str = Field(default=EMBEDDED, min_length=1)
    query_model: str | None = Field(default=None, min_length=1)
    dimension: int | None = Field(default=None, ge=1)
    kind: Literal["auto", "bge-m3", "sentence-transformers"] = "auto"
    revision: str | None = None
    lexical: str = Field(default=AUTO, min_length=1)
    multivectors: bool = False
    runtime: Literal["auto", "openvino", "torch", "flagembedding", "sentence-transformers"] = "auto"
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["auto", "f32", "bf16", "f16"] = "auto"
    max_tokens: int | None = Field(default=None, ge=3)
    truncate_dim: int | None = Field(default=None, ge=1)
    query_instruction: str | None = None
    document_instruction: str | None = None
    task: str | None = None
    trust_remote_code: bool = False
    endpoint: EndpointSection | None = None
    lexical_endpoint: EndpointSection | None = None
    bm25: Bm25Settings = Bm25Settings()

    @model_validator(mode="after")
    def _gives_something(self) -> EncoderSettings:
        if self.model == self.lexical == NONE:
            raise ValueError("encoder.model and encoder.lexical are both `none`: there is nothing to index")
        return self

    @model_validator(mode="after")
    def _vectors_are_described(self) -> EncoderSettings:
        if not self.is_precomputed:
            for name in ("query_model", "dimension"):
                if getattr(self, name) is not None:
                    raise ValueError(f"encoder.{name} is for encoder.model: precomputed; remove it, or set that")
            return self
        if self.query_model in (PRECOMPUTED, NONE):
            raise ValueError(f"encoder.query_model={self.query_model}: name the model that made the vectors")
        if self.query_model is not None and self.dimension is not None:
            raise ValueError("encoder.dimension: that of encoder.query_model counts; remove one of the two")
        if self.query_model is None and self.dimension is None:
            raise ValueError(
                "encoder.model: precomputed needs encoder.query_model, the model that made the vectors, which "
                "encodes queries; without one set encoder.dimension, and search lexically or with vectors of yours"
            )
        if self.query_model is None and self.multivectors:
            raise ValueError("encoder.multivectors: name the model that made them as encoder.query_model")
        if self.query_model is None and self.endpoint is not None:
            raise ValueError("encoder.endpoint: name the model that it serves as encoder.query_model")
        return self

    @property
    def is_precomputed(self) -> bool:
        """Whether the sources give the vectors of passages."""
        return self.model == PRECOMPUTED

    @property
    def for_queries(self) -> EncoderSettings:
        """The settings of what encodes queries: these, but where vectors are given, with the model that made them
        as the model."""
        if not self.is_precomputed:
            return self
        return self.model_copy(update={"model": self.query_model or NONE, "query_model": None, "dimension": None})

    @property
    def dense_side(self) -> Side:
        """What gives dense vectors, of queries at least."""
        return _side(self.for_queries.model, DENSE_WORDS, self.endpoint)

    @property
    def lexical_side(self) -> Side:
        """What gives lexical weights, unless the dense side's model does."""
        return _side(self.lexical, LEXICAL_WORDS, self.lexical_endpoint)

    def with_former_default(self) -> EncoderSettings | None:
        """These settings with the model that `embedded` named at first; `None` if they name another."""
        return self.model_copy(update={"model": EMBEDDED_ENGLISH}) if self.model == EMBEDDED else None

    @property
    def prefers_own_weights(self) -> bool:
        """Whether a dense model that has lexical weights of its own is to give them."""
        return self.lexical == AUTO


def _side(name: str, words: tuple[str, ...], endpoint: EndpointSection | None) -> Side:
    if name == NONE:
        return Nothing()
    if name in words:
        return Builtin(name)
    return Local(name) if endpoint is None else Remote(name, endpoint)
