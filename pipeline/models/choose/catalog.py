"""The list of `pipeline models`: each kind of encoder with what it needs installed, and what the configured one
comes to. Imports nothing heavy."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.config import EncoderSettings
from pipeline.config.encoder import AUTO, BM25
from pipeline.errors import EncoderError
from pipeline.models.choose.encoder import MixedEncoder, load_encoder
from pipeline.models.choose.kinds import known_kinds, missing_downloads
from pipeline.models.choose.kinds import resolve as chosen_kinds
from pipeline.models.contract import Encoder, Runtime
from pipeline.names import DENSE, LEXICAL
from pipeline.records import Fingerprint

CHECK_SENTENCE = "LangChain simplifies the process of building applications with large language models"


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution. `version`: `None` if it is not installed. `only_for`: empty if always needed.

    `instead`: the variable of the environment that may name its file in its place, if there is one.
    """

    name: str
    version: str | None
    only_for: str = ""
    instead: str = ""

    @property
    def is_there(self) -> bool:
        """Whether it is installed, or a file is named in its place."""
        return self.version is not None or bool(self.instead and os.environ.get(self.instead))


@dataclass(frozen=True, slots=True)
class EncoderKind:
    """One way to encode. `choose`: what to write in config.yaml. `gives`: the legs it serves."""

    name: str
    choose: str
    gives: str
    packages: tuple[Package, ...]

    @property
    def is_installed(self) -> bool:
        """Whether everything that is always needed is installed."""
        return all(package.is_there for package in self.packages if not package.only_for)


def kinds() -> list[EncoderKind]:
    """Every kind of encoder, with the versions of what is installed."""
    return [
        EncoderKind(
            line.name,
            line.choose,
            line.gives,
            tuple(
                Package(name, _version(name), why, line.instead.get(name, ""))
                for name, why in line.packages.items()
            ),
        )
        for kind in known_kinds()
        for line in kind.lines
    ]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class ResolvedSide:
    """One leg of the configured encoder. `fingerprint`: its fields; `None` if a server must be asked for it."""

    leg: Literal["dense", "lexical"]
    kind: str
    model: str
    runtime: Runtime
    fingerprint: Mapping[str, str] | None

    @property
    def instructions(self) -> Mapping[str, str]:
        """What is put before a `query` and a `document`, where something is."""
        fields = self.fingerprint or {}
        sides = {side: fields.get(f"{side}_instruction", "") for side in ("query", "document")}
        return {side: text for side, text in sides.items() if text}


@dataclass(frozen=True, slots=True)
class Check:
    """One sentence, encoded. `load_seconds`: the first time, loading included; `seconds`: the second time.

    `lexical_tokens`, `vectors`, `dimension`, `norm`: of the query's outputs, `None` for an output that it lacks.
    """

    load_seconds: float
    seconds: float
    dimension: int | None
    norm: float | None
    lexical_tokens: int | None
    vectors: int | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the settings come to. `to_download`: hub models the first use downloads; then nothing else is known."""

    sides: tuple[ResolvedSide, ...] = ()
    dimension: int | None = None
    multivectors: bool = False
    scoring: str | None = None
    to_download: tuple[str, ...] = ()
    check: Check | None = None


def resolve(settings: EncoderSettings, base: Path = Path(), *, check: bool = False) -> Resolution:
    """How `settings` come out on this machine. Without `check`, nothing is loaded, downloaded or asked.

    `check` loads the encoder (downloads it, asks the endpoint) and encodes a sentence twice. Raises what
    `load_encoder` raises, and `EncoderError` for an encoder that gives NaN.
    """
    settings = settings.for_queries
    if not check and (missing := missing_downloads(settings, base)):
        return Resolution(to_download=tuple(missing))
    encoder = load_encoder(settings, base=base)
    checked = _check(encoder) if check else None
    dense, lexical = encoder, encoder
    if isinstance(encoder, MixedEncoder):
        dense, lexical = encoder.dense_encoder or encoder, encoder.lexical_encoder or encoder
    choice = chosen_kinds(settings)
    sides: list[ResolvedSide] = []
    dimension = None
    if kind := choice.dense:
        fields = _fields(dense.dense_fingerprint) if check or not kind.asks_a_server else None
        name = kind.variant(settings, base) if kind.variant else kind.name
        sides.append(ResolvedSide(DENSE, name, settings.model, dense.runtime, fields))
        dimension = _dimension(dense, settings, check)
    if kind := choice.lexical:
        fields = _fields(lexical.lexical_fingerprint) if check or not kind.asks_a_server else None
        model = settings.lexical
        if kind.words:  # it names no model
            model = settings.model if lexical is dense else ""
        name = (fields or {}).get("kind", kind.name)
        if fields and name == BM25 and settings.bm25.languages == settings.bm25.stemmer == AUTO:
            fields |= {"stemmer": "of the language that the first build finds"}
        sides.append(ResolvedSide(LEXICAL, name, model, lexical.runtime, fields))
    scoring = encoder.lexical_scoring
    words = "dot product" if scoring.kind == "dot" else f"bm25, k1 {scoring.k1}, b {scoring.b}"
    return Resolution(
        tuple(sides),
        dimension,
        encoder.gives_multivectors,
        words if choice.lexical else None,
        check=checked,
    )


def _fields(fingerprint: Fingerprint | None) -> dict[str, str] | None:
    return dict(fingerprint.fields) if fingerprint else None


def _dimension(dense: Encoder, settings: EncoderSettings, loaded: bool) -> int | None:
    if loaded:
        return dense.dimension
    if settings.endpoint is not None:  # would be asked for it
        return settings.truncate_dim or settings.endpoint.dimension
    if dense.runtime.name == "sentence-transformers":  # would be loaded for it
        return settings.truncate_dim
    return dense.dimension


def _check(encoder: Encoder) -> Check:
    started = time.monotonic()
    encoder.encode_queries([CHECK_SENTENCE])
    loaded = time.monotonic()
    encoded = encoder.encode_queries([CHECK_SENTENCE])
    seconds = time.monotonic() - loaded
    dense, lexical, multivectors = encoded.dense, encoded.lexical, encoded.multivectors
    norm = None if dense is None else float(np.linalg.norm(dense[0]))
    if norm is not None and not np.isfinite(norm):
        raise EncoderError("the encoder gave NaN or infinite values for the check sentence")
    return Check(
        load_seconds=loaded - started,
        seconds=seconds,
        dimension=None if dense is None else int(dense.shape[1]),
        norm=norm,
        lexical_tokens=None if lexical is None else len(lexical.row(0)[0]),
        vectors=None if multivectors is None else len(multivectors.vectors),
    )
