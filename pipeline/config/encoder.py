"""The section `encoder` of config.yaml, and what the names in it mean: no other module compares them with words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.search import EndpointSection, Settings

EMBEDDED, EMBEDDED_ENGLISH, AUTO, BM25, NONE = "embedded", "embedded-english", "auto", "bm25", "none"
DENSE_WORDS = (EMBEDDED, EMBEDDED_ENGLISH, NONE)
"""What `encoder.model` may say instead of naming a model; `none` is nothing, the others are `Builtin`."""
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

    `model`: `embedded`, `embedded-english`, a hub id, a folder, or `none` for a lexical index. `lexical`: `auto`
    (the model's own lexical head if it has one, else BM25), `bm25`, `none`, or the id or folder of a sparse encoder
    or a BGE-M3.
    `query_instruction` and `document_instruction` are put, verbatim, before each text; unset, the model's own are
    used. `task`: what an instruct model is told to do. `endpoint` serves `model`, `lexical_endpoint` `lexical`.
    """

    model: str = Field(default=EMBEDDED, min_length=1)
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

    @property
    def dense_side(self) -> Side:
        """What gives dense vectors."""
        return _side(self.model, DENSE_WORDS, self.endpoint)

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
