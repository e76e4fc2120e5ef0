"""Which encoder a model's files call for, and which runtime it gets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pipeline.config.encoder import LEXICAL_WORDS, EncoderSettings, Local
from pipeline.errors import ConfigError, EncoderError
from pipeline.models.contract import Encoder
from pipeline.models.files.instructions import Instructions, resolve_instructions
from pipeline.models.files.layout import (
    BGE_M3_HEADS,
    graph_pooling,
    is_bge_m3,
    max_positions,
    missing_heads,
    refuse_dense,
    refuse_half_bge_m3,
    refuse_sparse,
)
from pipeline.models.files.locate import LocalModel, is_present, locate
from pipeline.models.files.tokenizer import load_tokenizer
from pipeline.models.local.bert import (
    BATCH_TOKENS,
    RuntimeOptions,
    bge_m3_encoder,
    saved_max_tokens,
    sentence_encoder,
    tokenizer_path,
)
from pipeline.models.local.fingerprints import PRECISION_CLASS
from pipeline.models.local.transformer import BATCH_TOKENS as SPARSE_BATCH_TOKENS
from pipeline.models.runtime.torch import best_device
from pipeline.names import DENSE
from pipeline.records import Fingerprint

logger = logging.getLogger(__name__)

_BGE_M3_FILES = tuple(f"{head}.pt" for head in BGE_M3_HEADS)


def model_encoder(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    """The encoder of `settings.model`, a hub id or a folder. Raises `EncoderError`, `MissingDependencyError`.

    A BGE-M3 that `settings.lexical` names again gives both sides from one pass, as with `lexical: auto`.
    """
    model = _locate(settings, base)
    options = _options(settings, batch_tokens)
    if _kind(settings, model) != "bge-m3":
        return _sentence_transformers(settings, model, options)
    if missing := missing_heads(model):
        raise EncoderError(f"{model.folder}: is no BGE-M3: it lacks {' and '.join(missing)}; fetch it again")
    if options.runtime == "sentence-transformers":
        raise EncoderError(
            "encoder.runtime: sentence-transformers gives dense vectors only; set encoder.kind as well"
        )
    lexical = settings.prefers_own_weights or _is_lexical_too(settings, model, base)
    wanted = {DENSE: True, "token_weights": lexical, "token_vectors": settings.multivectors}
    return _bge_m3(
        model,
        options,
        outputs=frozenset(name for name, on in wanted.items() if on),
        max_tokens=settings.max_tokens,
        instructions=_instructions(settings, model),
        truncate_dim=settings.truncate_dim,
    )


def lexical_encoder(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    """The encoder of `settings.lexical`: a BGE-M3 (its lexical head alone) or a SparseEncoder.

    Instructions and `truncate_dim` are the dense side's. `max_tokens` counts for both sides, here up to what the
    lexical model has positions for.
    """
    key = f"encoder.lexical={settings.lexical!r}"
    model = _locate_lexical(settings, base)
    refuse_half_bge_m3(model, key)
    longest = min(filter(None, (settings.max_tokens, max_positions(model))), default=None)
    max_tokens = longest if settings.max_tokens else None
    options = _options(settings, batch_tokens)
    if not is_bge_m3(model):
        refuse_dense(model, key)
        from pipeline.models.local.sentence_transformers import Library, SparseModelEncoder

        return SparseModelEncoder(
            Library(
                "SparseEncoder",
                model,
                _device(settings),
                max_tokens,
                settings.trust_remote_code,
                SPARSE_BATCH_TOKENS,
                options.precision,
            )
        )
    if options.runtime == "sentence-transformers":
        if not isinstance(settings.dense_side, Local):
            raise EncoderError(f"encoder.runtime: sentence-transformers cannot run {key}, which is a BGE-M3")
        options = _options(settings.model_copy(update={"runtime": "auto"}), batch_tokens)
    saved = resolve_instructions(model.names, model.json("config_sentence_transformers.json"))
    outputs = frozenset({"token_weights"})
    return _bge_m3(model, options, outputs=outputs, max_tokens=max_tokens, instructions=saved)


def model_kind(settings: EncoderSettings, base: Path) -> str:
    """`bge-m3` or `sentence-transformers`, by the files of `settings.model` unless `settings.kind` says it."""
    return _kind(settings, _locate(settings, base))


def missing_model(settings: EncoderSettings, base: Path) -> list[str]:
    """`settings.model`, if it is a hub model that is not whole on this machine."""
    needs = _needs(settings.model, settings.kind)
    return [] if is_present(settings.model, settings.revision, base, needs) else [settings.model]


def missing_lexical_model(settings: EncoderSettings, base: Path) -> list[str]:
    """`settings.lexical`, if it is a hub model that is not whole on this machine."""
    return [] if is_present(settings.lexical, None, base, _needs(settings.lexical)) else [settings.lexical]


def model_tokenizer(settings: EncoderSettings, base: Path) -> Any:
    """A fresh tokenizer of `settings.model`, with neither truncation nor padding."""
    return load_tokenizer(tokenizer_path(_locate(settings, base)))


def saved_limit(settings: EncoderSettings, name: str, base: Path) -> int | None:
    """Where sentence-transformers cuts the texts of the model `name` of `settings`, if its files say so."""
    return saved_max_tokens(_locate(settings, base) if name == settings.model else _locate_lexical(settings, base))


def _locate(settings: EncoderSettings, base: Path) -> LocalModel:
    _refuse_address(settings.model, "encoder.model", "encoder.endpoint")
    return locate(settings.model, settings.revision, base, _needs(settings.model, settings.kind))


def _locate_lexical(settings: EncoderSettings, base: Path) -> LocalModel:
    _refuse_address(settings.lexical, "encoder.lexical", "encoder.lexical_endpoint")
    needs = _needs(settings.lexical)
    return locate(settings.lexical, None, base, needs, key="encoder.lexical", words=LEXICAL_WORDS)


def _refuse_address(name: str, key: str, endpoint: str) -> None:
    if name.startswith(("http://", "https://")):
        raise ConfigError(
            f"{key}={name!r} is an address, not a model: name the model, and the server in {endpoint}.url"
        )


def _needs(name: str, kind: str = "auto") -> tuple[str, ...]:
    return _BGE_M3_FILES if kind == "bge-m3" or name == "BAAI/bge-m3" else ()


def _is_lexical_too(settings: EncoderSettings, model: LocalModel, base: Path) -> bool:
    if not isinstance(settings.lexical_side, Local):
        return False
    folder = base / Path(settings.lexical).expanduser()
    return settings.lexical == settings.model or folder.resolve() == model.folder.resolve()


def _kind(settings: EncoderSettings, model: LocalModel) -> str:
    if settings.kind != "auto":
        return settings.kind
    key = f"encoder.model={settings.model!r}"
    refuse_half_bge_m3(model, key, ", or set encoder.kind: sentence-transformers for its dense vectors alone")
    return "bge-m3" if is_bge_m3(model) else "sentence-transformers"


def _options(settings: EncoderSettings, batch_tokens: int | None) -> RuntimeOptions:
    device = _device(settings)
    runtime = settings.runtime
    if runtime == "auto":
        runtime = "openvino" if device == "cpu" else "torch"
    if runtime == "openvino" and settings.device not in ("auto", "cpu"):
        raise EncoderError(f"encoder.runtime: openvino runs on the CPU, not on {device}; set encoder.device: cpu")
    return RuntimeOptions(
        runtime=runtime,
        device="cpu" if runtime == "openvino" else device,
        precision=None if settings.precision == "auto" else settings.precision,
        batch_tokens=batch_tokens or BATCH_TOKENS,
        trust_remote_code=settings.trust_remote_code,
    )


def _device(settings: EncoderSettings) -> str:
    return best_device() if settings.device == "auto" else settings.device


def _instructions(settings: EncoderSettings, model: LocalModel) -> Instructions:
    return resolve_instructions(
        model.names,
        model.json("config_sentence_transformers.json"),
        query=settings.query_instruction,
        document=settings.document_instruction,
        task=settings.task,
    )


def _bge_m3(model: LocalModel, options: RuntimeOptions, **how: Any) -> Encoder:
    encoder = bge_m3_encoder(model, options, **how)
    if options.runtime == "flagembedding":
        from pipeline.models.local.flagembedding import FlagEmbeddingEncoder

        return FlagEmbeddingEncoder(encoder, str(model.folder), options.device, options.precision)
    return encoder


def _sentence_transformers(settings: EncoderSettings, model: LocalModel, options: RuntimeOptions) -> Encoder:
    refuse_sparse(model, f"encoder.model={settings.model!r}", is_told=settings.kind == "sentence-transformers")
    positions = max_positions(model)
    if settings.max_tokens and positions and settings.max_tokens > positions:
        raise EncoderError(f"encoder.max_tokens={settings.max_tokens}: this model takes 3 to {positions} tokens")
    instructions, pooling = _instructions(settings, model), graph_pooling(model)
    if options.runtime == "flagembedding":
        raise EncoderError(f"encoder.runtime: flagembedding is for BGE-M3, and {settings.model} is none")
    if pooling is None and settings.runtime in ("openvino", "torch"):
        raise EncoderError(
            f"encoder.runtime: {settings.runtime} cannot run {settings.model}: it is not a BERT-family transformer "
            "with mean or CLS pooling; set encoder.runtime: sentence-transformers"
        )
    ours = pooling and sentence_encoder(
        model,
        options,
        pooling=pooling,
        max_tokens=settings.max_tokens,
        instructions=instructions,
        truncate_dim=settings.truncate_dim,
    )
    if ours and options.runtime != "sentence-transformers":
        return ours
    from pipeline.models.local.sentence_transformers import Library, SentenceTransformersEncoder

    fingerprint = (ours and ours.dense_fingerprint) or Fingerprint.of(
        kind="sentence-transformers",
        model=model.name,
        revision=model.revision,
        normalization="l2",
        max_tokens=settings.max_tokens or "trained",
        query_instruction=instructions.query,
        document_instruction=instructions.document,
        truncate_dim=settings.truncate_dim or "none",
        precision=PRECISION_CLASS,
    )
    library = Library(
        "SentenceTransformer",
        model,
        _device(settings),
        settings.max_tokens,
        settings.trust_remote_code,
        options.batch_tokens,
        options.precision,
    )
    return SentenceTransformersEncoder(library, fingerprint, instructions, settings.truncate_dim)
