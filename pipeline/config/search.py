"""The sections of config.yaml about searching and judging, and what all sections share."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline import names
from pipeline.config.boosts import parse_boosts
from pipeline.config.problems import in_words, nearest
from pipeline.errors import ConfigError


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)

    def __init__(self, **values: Any) -> None:
        """Raises `ConfigError` for values that make no sense."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(in_words(error, type(self).__name__, type(self))) from None

    # Else pydantic would make each section inside a section by a call of its own, and errors would name no key.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class EndpointSection(Settings):
    """A remote endpoint; docs/endpoints.md describes the keys. The token comes from the environment."""

    protocol: Literal["huggingface", "tei", "openai"]
    url: str = ""
    token_variable: str | None = None
    dimension: int | None = Field(default=None, ge=1)
    batch_texts: int = Field(default=32, ge=1)
    batch_tokens: int = Field(default=8192, ge=1)
    concurrency: int = Field(default=4, ge=1)
    timeout_seconds: float = Field(default=60.0, gt=0)
    attempts: int = Field(default=6, ge=1)
    max_wait_seconds: float = Field(default=60.0, ge=0)


class FusionSettings(Settings):
    """`auto` calibrates itself without labels (docs/adr/0003-fusion.md); BGE-M3 gets the weights of its paper."""

    method: Literal["auto", "dbsf", "minmax", "rrf", "theoretical", "weighted", "zscore"] = "auto"
    preset: Literal["m3-miracl", "m3-mldr"] | None = None
    rrf_k: float = Field(default=60.0, gt=0)
    weights: dict[str, float] = {}

    @model_validator(mode="after")
    def _one_of_method_and_preset(self) -> FusionSettings:
        if self.preset is not None and self.method not in ("auto", "weighted"):
            raise ValueError(
                f"query.fusion.preset={self.preset} weighs raw scores, and query.fusion.method is {self.method}; "
                "give one of them"
            )
        return self

    @model_validator(mode="after")
    def _weights_are_of_legs(self) -> FusionSettings:
        for leg, weight in self.weights.items():
            known = (*names.legs(), names.MULTIVECTOR)
            if leg not in known:
                raise ValueError(f"query.fusion.weights: there is no leg `{leg}`; {nearest(leg, known)}")
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"query.fusion.weights.{leg}={weight:g} must be zero or more")
        return self


RERANK = "query.rerank"
"""Where `RerankSettings` stand, for errors about them."""
RERANKER_WORDS = ("none", "multivectors")
"""What `query.rerank.model` may say instead of naming a cross-encoder."""


class RerankSettings(Settings):
    """What reads the best `top` chunks again.

    `model`: `none`, `multivectors` (late interaction with the index's own encoder), or a cross-encoder: a hub id, a
    folder, or what `endpoint` serves. `blend`: the first stage's share of the score; unset it is none, except that
    multi-vectors join a `weighted` fusion as its third leg. `max_tokens`: of query and passage together.
    """

    model: str = Field(default="none", min_length=1)
    top: int = Field(default=50, ge=1)
    blend: float | None = Field(default=None, ge=0, lt=1)
    revision: str | None = None
    runtime: Literal["auto", "openvino", "flagembedding", "sentence-transformers"] = "auto"
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["auto", "f32", "bf16", "f16"] = "auto"
    max_tokens: int = Field(default=512, ge=8)
    trust_remote_code: bool = False
    endpoint: EndpointSection | None = None

    @model_validator(mode="after")
    def _endpoint_serves_a_cross_encoder(self) -> RerankSettings:
        if self.endpoint is not None and self.model in RERANKER_WORDS:
            raise ValueError(
                f"query.rerank.endpoint serves a cross-encoder, and query.rerank.model is {self.model}"
            )
        return self


class QuerySettings(Settings):
    """How queries are answered, and whether they are logged (docs/nightly.md).

    `log_text`: else a hash stands for it. `log_megabytes`: how large a file of the log grows before the next one.
    """

    k: int = Field(default=10, ge=1)
    mode: names.Mode = names.HYBRID
    depth: int = Field(default=100, ge=1)
    fusion: FusionSettings = FusionSettings()
    rerank: RerankSettings = RerankSettings()
    log: bool = False
    log_text: bool = True
    log_megabytes: float = Field(default=16.0, gt=0)
    boosts: list[str] = []

    @model_validator(mode="after")
    def _boosts_can_be_read(self) -> QuerySettings:
        try:
            parse_boosts(self.boosts)
        except ValueError as error:
            raise ValueError(f"query.boosts: {error}") from None
        return self


class Expectation(Settings):
    """A question of which one of the named documents must be among the first `k`."""

    query: str = Field(min_length=1)
    documents: list[str] = Field(min_length=1)
    k: int = Field(default=10, ge=1)


class GateSettings(Settings):
    """When a finished build is not published (docs/nightly.md).

    `minimum` and `max_drop`, by measure: the least value, and how much less than the live generation's is
    acceptable. Measures are those of `pipeline evaluate`, on all legs, and `expected`: the share of `expect` that
    holds. `min_known_item_ratio`: how much of what the live generation finds of its own passages, by each leg and
    in each script, this one must find (job/comparison/collapse.py); 0: it is not asked.
    """

    queries: str | None = None
    qrels: str | None = None
    expect: list[Expectation] = []
    minimum: dict[str, float] = {}
    max_drop: dict[str, Annotated[float, Field(ge=0)]] = {}
    min_document_ratio: float = Field(default=0.5, ge=0, le=1)
    max_reject_ratio: float = Field(default=0.5, ge=0, le=1)
    max_empty_vector_ratio: float = Field(default=0.01, ge=0, le=1)
    max_empty_lexical_ratio: float = Field(default=0.5, ge=0, le=1)
    min_known_item_ratio: float = Field(default=0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _queries_with_qrels(self) -> GateSettings:
        if (self.queries is None) != (self.qrels is None):
            raise ValueError("gate.queries and gate.qrels go together: give both or none")
        return self
