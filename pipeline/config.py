"""config.yaml → typed settings. Every key is checked; a path is relative to the file it stands in."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ConfigError

DEFAULT_NAME = "config.yaml"


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


_DEVICE = r"^(cpu|mps|cuda(:\d+)?)$"


class SourceSettings(Settings):
    """One folder or file to index.

    `include` and `exclude` are globs relative to the folder, `**` spans subfolders; no `include` means every file
    that there is a reader for. `prefix` is put before every `doc_id`, for sources whose names would clash.
    """

    path: str
    include: list[str] = []
    exclude: list[str] = []
    prefix: str = ""
    id_field: str | None = None
    text_field: str | None = None
    title_field: str | None = None


class IngestSettings(Settings):
    """`encodings`: codecs to try, in order, on text that is not UTF-8, before its encoding is detected."""

    max_document_mb: float = Field(default=32.0, gt=0)
    encodings: list[str] = []


class ChunkingSettings(Settings):
    """Sizes in tokens of the encoder's own tokenizer."""

    max_tokens: int = Field(default=254, ge=8)
    overlap_tokens: int = Field(default=32, ge=0)

    @model_validator(mode="after")
    def _overlap_below_size(self) -> ChunkingSettings:
        if self.overlap_tokens >= self.max_tokens:
            raise ValueError(
                f"chunking.overlap_tokens={self.overlap_tokens} must be below chunking.max_tokens={self.max_tokens}"
            )
        return self


class Bm25Settings(Settings):
    """`korean`: words in Hangul become syllable bigrams, or morphemes (the extra `korean`)."""

    k1: float = Field(default=1.2, ge=0)
    b: float = Field(default=0.75, ge=0, le=1)
    stemmer: str | None = "english"
    korean: Literal["bigrams", "morphemes"] = "bigrams"


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


class EncoderSettings(Settings):
    """What encodes.

    `model`: `embedded`, a hub id, a folder, or `none` for a lexical index. `lexical`: `auto` (the model's own
    lexical head if it has one, else BM25), `bm25`, `none`, or the id or folder of a sparse encoder or a BGE-M3.
    `query_instruction` and `document_instruction` are put, verbatim, before each text; unset, the model's own are
    used. `task`: what an instruct model is told to do. `endpoint` serves `model`, `lexical_endpoint` `lexical`.
    """

    model: str = Field(default="embedded", min_length=1)
    kind: Literal["auto", "bge-m3", "sentence-transformers"] = "auto"
    revision: str | None = None
    lexical: str = Field(default="auto", min_length=1)
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


class EncodeSettings(Settings):
    """`devices`: one process for each encodes; none: everything happens here, on `encoder.device`.

    `timeout_seconds`: one that takes longer for a shard hangs, and ends the build.
    """

    shard_chunks: int = Field(default=4096, ge=1)
    batch_tokens: int | None = Field(default=None, ge=64)
    devices: list[Annotated[str, Field(pattern=_DEVICE)]] = []
    timeout_seconds: float = Field(default=3600.0, gt=0)


class SegmentSettings(Settings):
    """`dense`: `auto` or a FAISS factory string. `recall_target`: share of the true ten nearest neighbours that an
    approximate index must find. `auto_compact`: a build merges small segments and those mostly deleted
    (`compact.wants_compaction`)."""

    max_chunks: int = Field(default=250_000, ge=1)
    dense: str = "auto"
    recall_target: float = Field(default=0.98, gt=0, le=1)
    multivectors: Literal["int8", "fp16"] = "int8"
    auto_compact: bool = True


class FusionSettings(Settings):
    """`auto` calibrates itself without labels (docs/adr/0003-fusion.md); BGE-M3 gets the weights of its paper."""

    method: Literal["auto", "dbsf", "minmax", "rrf", "theoretical", "weighted", "zscore"] = "auto"
    preset: Literal["m3-miracl", "m3-mldr"] | None = None
    rrf_k: float = Field(default=60.0, gt=0)
    weights: dict[str, float] = {}


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
        if self.endpoint is not None and self.model in ("none", "multivectors"):
            raise ValueError(
                f"query.rerank.endpoint serves a cross-encoder, and query.rerank.model is {self.model}"
            )
        return self


class QuerySettings(Settings):
    k: int = Field(default=10, ge=1)
    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    depth: int = Field(default=100, ge=1)
    fusion: FusionSettings = FusionSettings()
    rerank: RerankSettings = RerankSettings()


class Expectation(Settings):
    """A question of which one of the named documents must be among the first `k`."""

    query: str = Field(min_length=1)
    documents: list[str] = Field(min_length=1)
    k: int = Field(default=10, ge=1)


class GateSettings(Settings):
    """When a finished build is not published (docs/nightly.md).

    `minimum` and `max_drop`, by measure: the least value, and how much less than the live generation's is
    acceptable. Measures are those of `pipeline evaluate`, on all legs, and `expected`: the share of `expect` that
    holds.
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

    @model_validator(mode="after")
    def _queries_with_qrels(self) -> GateSettings:
        if (self.queries is None) != (self.qrels is None):
            raise ValueError("gate.queries and gate.qrels go together: give both or none")
        return self


class Config(Settings):
    """The whole file. `base` is the folder that relative paths start from; it is not a key of the file."""

    index: str = "indexes/default"
    sources: list[SourceSettings] = []
    ingest: IngestSettings = IngestSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    encoder: EncoderSettings = EncoderSettings()
    encode: EncodeSettings = EncodeSettings()
    segments: SegmentSettings = SegmentSettings()
    query: QuerySettings = QuerySettings()
    gate: GateSettings = GateSettings()
    retain: int = Field(default=3, ge=1)
    max_delete_ratio: float = Field(default=0.5, ge=0, le=1)
    base: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _devices_that_the_encoder_uses(self) -> Config:
        encoder = self.encoder
        local_dense = encoder.model not in ("embedded", "none") and encoder.endpoint is None
        local_lexical = encoder.lexical not in ("auto", "bm25", "none") and encoder.lexical_endpoint is None
        if not self.encode.devices or local_dense or local_lexical:
            return self
        if encoder.endpoint is not None or encoder.lexical_endpoint is not None:
            raise ValueError(
                "encode.devices: an endpoint's server encodes, not this machine's devices; remove encode.devices, "
                "and set the endpoint's `concurrency` for more requests at once"
            )
        if others := [device for device in self.encode.devices if device != "cpu"]:
            raise ValueError(
                f"encode.devices: encoder.model={encoder.model} computes on the CPU, in one process on all "
                f"its cores, and cannot use {', '.join(others)}; remove encode.devices or choose another model"
            )
        return self

    @property
    def index_path(self) -> Path:
        """Folder of the index."""
        return self.base / self.index

    def source_path(self, source: SourceSettings) -> Path:
        """Folder or file of a source."""
        return self.base / source.path


def load_config(path: Path) -> Config:
    """Read and check a configuration file. Raises `ConfigError` naming the file, the key and the cure."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `pipeline init` writes a starter configuration") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected `key: value` lines at the top level")
    if "base" in raw:
        raise ConfigError(f"{path}: unknown key `base`")
    return parse_config(raw, base=path.parent, origin=str(path))


def parse_config(raw: dict[str, Any], base: Path = Path(), origin: str = "config") -> Config:
    """Check settings given as plain data; `origin` names them in errors. Raises `ConfigError`."""
    try:
        return Config.model_validate({**raw, "base": base})
    except ValidationError as error:
        problems = [_problem(detail, origin) for detail in error.errors()]
        raise ConfigError("; ".join(problems)) from None


def _problem(detail: Any, origin: str) -> str:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(known)}"
        return f"{origin}: unknown key `{key}`; {hint}"
    if detail["type"] == "value_error":
        return f"{origin}: {detail['ctx']['error']}"
    return f"{origin}: `{key}`: {detail['msg'][:1].lower()}{detail['msg'][1:]}, got {detail['input']!r}"


def _known_keys(location: list[str]) -> list[str]:
    model: Any = Config
    for part in location:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        model = annotation.__args__[0] if getattr(annotation, "__args__", None) else annotation
    return sorted(name for name in model.model_fields if name != "base")
