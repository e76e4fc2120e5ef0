"""config.yaml → typed settings. Every key is checked; a path is relative to the file it stands in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline.arguments import file_path, shown, text
from pipeline.config.chunking import ChunkingSettings
from pipeline.config.cluster import ClusterSettings
from pipeline.config.encoder import Bm25Settings, EncoderSettings, Local
from pipeline.config.problems import checked_settings, in_words, load_yaml, nearest
from pipeline.config.remote import RemoteSettings, checked_url, is_url
from pipeline.config.search import (
    EndpointSection,
    Expectation,
    FusionSettings,
    GateSettings,
    QuerySettings,
    RerankSettings,
    Settings,
)
from pipeline.config.serve import ServeLimits, ServeSettings
from pipeline.config.sources import SourceSettings, refuse_same_names
from pipeline.errors import ConfigError

__all__ = [
    "Bm25Settings",
    "ChunkingSettings",
    "ClusterSettings",
    "Config",
    "EncodeSettings",
    "EncoderSettings",
    "EndpointSection",
    "Expectation",
    "FusionSettings",
    "GateSettings",
    "IngestSettings",
    "QuerySettings",
    "RemoteSettings",
    "RerankSettings",
    "SegmentSettings",
    "ServeLimits",
    "ServeSettings",
    "Settings",
    "SourceSettings",
    "checked_settings",
    "configured",
    "load_config",
    "parse_config",
]

DEFAULT_NAME = "config.yaml"
WHOLE_PASSAGE_TOKENS = 1_000_000
"""As `chunking.max_tokens`: texts are not cut, whatever the encoder reads of them."""


_ENCODINGS = (
    "cp949",
    "euc-kr",
    "cp932",
    "shift_jis",
    "euc-jp",
    "gb18030",
    "big5",
    "cp1252",
    "latin-1",
    "koi8-r",
    "utf-16",
)
_DEVICE = r"^(cpu|mps|cuda(:\d+)?)$"


class IngestSettings(Settings):
    """`encodings`: codecs to try, in order, on text that is not UTF-8, before its encoding is detected.

    `document_seconds`: one that takes longer is rejected; 0 or none: no limit. `parser_memory_mb`: what a process
    may take that parses PDF and the like; 0 or none: no limit. `max_archive_mb`: what an archive may unpack to.
    `ocr`: pages and pictures without text are read where the extra `ocr` is installed, or not at all.
    `html`: a page's main content is read, or all of it. `mail_quotes`: what a message repeats of another.
    `processes`: how many read and cut documents where there are many; 1: all of it happens in the build's own.
    """

    max_document_mb: float = Field(default=32.0, gt=0)
    document_seconds: float | None = Field(default=300.0, ge=0, le=1e8)
    parser_memory_mb: float | None = Field(default=4096.0, ge=0)
    max_archive_mb: float = Field(default=8192.0, gt=0)
    ocr: Literal["auto", "off"] = "auto"
    html: Literal["main", "all"] = "main"
    mail_quotes: Literal["drop", "keep"] = "drop"
    encodings: list[str] = Field(default=[])
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"

    @field_validator("ocr", mode="before")
    @classmethod
    def _off_is_false_in_yaml(cls, value: Any) -> Any:
        return "off" if value is False else value

    @model_validator(mode="after")
    def _encodings_are_known(self) -> IngestSettings:
        for name in self.encodings:
            try:
                with contextlib.suppress(UnicodeDecodeError):
                    b"four".decode(name)
            except (LookupError, ValueError, UnicodeError):
                hint = nearest(name, _ENCODINGS, "for example")
                raise ValueError(f"ingest.encodings: {name!r} is no text encoding of Python; {hint}") from None
        return self


class EncodeSettings(Settings):
    """`devices`: one process for each encodes; none: everything happens here, on `encoder.device`.

    `timeout_seconds`: one that takes longer for a shard hangs, and ends the build. `check_texts`: how many texts
    whose vectors a source gives are encoded again, to see that they are of `encoder.query_model`; 0: none.
    `check_cosine`: what each of them must reach.
    """

    shard_chunks: int = Field(default=4096, ge=1)
    batch_tokens: int | None = Field(default=None, ge=64)
    devices: list[Annotated[str, Field(pattern=_DEVICE)]] = Field(default=[])
    timeout_seconds: float = Field(default=3600.0, gt=0)
    check_texts: int = Field(default=16, ge=0)
    check_cosine: float = Field(default=0.95, gt=0, le=1)


class SegmentSettings(Settings):
    """`dense`: `auto` or a FAISS factory string. `recall_target`: share of the true ten nearest neighbours that an
    approximate index must find. `lexical`: `seismic` puts an approximate index (the extra `seismic`) beside the
    postings of new segments, tuned to the same share of the exact leg's ten best. `auto_compact`: a build merges
    small segments and those mostly deleted (`compact.wants_compaction`)."""

    max_chunks: int = Field(default=250_000, ge=1)
    dense: str = "auto"
    lexical: Literal["exact", "seismic"] = "exact"
    recall_target: float = Field(default=0.98, gt=0, le=1)
    multivectors: Literal["int8", "fp16"] = "int8"
    auto_compact: bool = True


class Config(Settings):
    """The whole file. `access_field`: the metadata key that names the groups who may see a document.

    `base` is the folder that relative paths start from; it is not a key of the file.
    """

    index: str = Field(default="indexes/default", min_length=1)
    sources: list[SourceSettings] = Field(default=[])
    ingest: IngestSettings = IngestSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    encoder: EncoderSettings = EncoderSettings()
    encode: EncodeSettings = EncodeSettings()
    cluster: ClusterSettings = ClusterSettings()
    segments: SegmentSettings = SegmentSettings()
    query: QuerySettings = QuerySettings()
    gate: GateSettings = GateSettings()
    serve: ServeSettings = ServeSettings()
    remote: RemoteSettings = RemoteSettings()
    access_field: str | None = Field(default=None, min_length=1)
    retain: int = Field(default=3, ge=1)
    max_delete_ratio: float = Field(default=0.5, ge=0, le=1)
    base: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _devices_that_the_encoder_uses(self) -> Config:
        encoder = self.encoder
        if self.encode.devices and encoder.is_precomputed:
            raise ValueError(
                "encode.devices: the vectors are given, so nothing is to encode; remove encode.devices"
            )
        loads_a_model = any(isinstance(side, Local) for side in (encoder.dense_side, encoder.lexical_side))
        if not self.encode.devices or loads_a_model:
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

    @field_validator("index")
    @classmethod
    def _index_is_a_place(cls, index: str) -> str:
        try:
            return checked_url(index) if is_url(index) else index
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @field_validator("sources")
    @classmethod
    def _sources_are_told_apart(cls, sources: list[SourceSettings]) -> list[SourceSettings]:
        refuse_same_names(sources)
        return sources

    @property
    def index_url(self) -> str | None:
        """Where in an object store the index is; `None` for one in a folder."""
        return self.index if is_url(self.index) else None

    @property
    def index_path(self) -> Path:
        """Folder of the index; of its local copy, if it is in an object store."""
        if self.index_url is not None:
            return self.remote.local_copy(self.index_url, self.base)
        return self.base / self.index

    def source_path(self, source: SourceSettings) -> Path:
        """Folder or file of a source that has one."""
        assert source.path is not None
        return self.base / source.path


def configured(config: Config | str | os.PathLike[str]) -> Config:
    """The configuration given, or that of the file named. Raises `ConfigError`."""
    if isinstance(config, Config):
        return config
    if isinstance(config, Mapping):
        raise ConfigError(
            f"config={shown(config)}: make a Config of it with `parse_config`, which says where paths start"
        )
    return load_config(file_path("config", config))


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read and check a configuration file. Raises `ConfigError` naming the file, the key and the cure."""
    path = file_path("path", path)
    try:
        raw = load_yaml(path.read_text("utf-8"))
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
    return parse_config(raw, base=path.parent, origin=str(path))


def parse_config(raw: Mapping[str, Any], base: str | os.PathLike[str] = Path(), origin: str = "config") -> Config:
    """Check settings given as plain data; `origin` names them in errors. Raises `ConfigError`.

    `base`: the folder that relative paths start from.
    """
    origin = text("origin", origin)
    if not isinstance(raw, Mapping):
        raise ConfigError(f"raw={shown(raw)}: give a mapping of what stands in config.yaml")
    if "base" in raw:
        raise ConfigError(f"{origin}: unknown key `base`")
    try:
        return Config.model_validate({**raw, "base": file_path("base", base)})
    except ValidationError as error:
        raise ConfigError(in_words(error, origin, Config)) from None
