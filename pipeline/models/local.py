"""Which encoder a model's files call for, and which runtime it gets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pipeline.config import EncoderSettings
from pipeline.errors import ConfigError, EncoderError
from pipeline.models.contract import Encoder
from pipeline.models.fingerprints import PRECISION_CLASS
from pipeline.models.instructions import Instructions, resolve_instructions
from pipeline.models.local_transformer import (
    BATCH_TOKENS,
    RuntimeOptions,
    bge_m3_encoder,
    is_bge_m3,
    saved_max_tokens,
    sentence_encoder,
    tokenizer_path,
)
from pipeline.models.locate import LocalModel, is_present, locate
from pipeline.models.tokenizing import load_tokenizer
from pipeline.models.torch_runtime import best_device
from pipeline.records import Fingerprint

logger = logging.getLogger(__name__)

_GRAPH_TYPES = {"bert", "roberta", "xlm-roberta"}
_GRAPH_MODULES = {"Transformer", "Pooling", "Normalize"}
_BGE_M3_HEADS = ("sparse_linear.pt", "colbert_linear.pt")


def model_encoder(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    """The encoder of `settings.model`, a hub id or a folder. Raises `EncoderError`, `MissingDependencyError`."""
    model = _locate(settings, settings.model, base)
    options = _options(settings, batch_tokens)
    if _kind(settings, model) == "bge-m3":
        if not is_bge_m3(model):
            raise EncoderError(f"{model.folder}: is no BGE-M3: it has no sparse_linear.pt and colbert_linear.pt")
        return _bge_m3(settings, model, options, dense=True, lexical=settings.lexical == "auto")
    return _sentence_transformers(settings, model, options)


def lexical_encoder(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    """The encoder of `settings.lexical`: a BGE-M3 (its lexical head alone) or a SparseEncoder."""
    model = _locate(settings, settings.lexical, base, revision=None)
    if is_bge_m3(model):
        return _bge_m3(settings, model, _options(settings, batch_tokens), dense=False, lexical=True)
    from pipeline.models.sentence_transformers_library import SparseModelEncoder

    return SparseModelEncoder(model, _device(settings), settings.max_tokens, settings.trust_remote_code)


def model_kind(settings: EncoderSettings, base: Path) -> str:
    """`bge-m3` or `sentence-transformers`, by the files of `settings.model` unless `settings.kind` says it."""
    return _kind(settings, _locate(settings, settings.model, base))


def missing_downloads(settings: EncoderSettings, base: Path) -> list[str]:
    """The hub models of `settings` that are not whole on this machine, so that the first use downloads them."""
    wanted = []
    if settings.model not in ("embedded", "none") and settings.endpoint is None:
        wanted.append((settings.model, settings.revision))
    if settings.lexical not in ("auto", "bm25", "none") and settings.lexical_endpoint is None:
        wanted.append((settings.lexical, None))
    return [name for name, revision in wanted if not is_present(name, revision, base, _needs(settings, name))]


def model_tokenizer(settings: EncoderSettings, base: Path) -> Any:
    """A fresh tokenizer of `settings.model`, with neither truncation nor padding."""
    return load_tokenizer(tokenizer_path(_locate(settings, settings.model, base)))


def saved_limit(settings: EncoderSettings, name: str, base: Path) -> int | None:
    """Where sentence-transformers cuts the texts of the model `name` of `settings`, if its files say so."""
    return saved_max_tokens(_locate(settings, name, base, revision="" if name == settings.model else None))


def graph_pooling(model: LocalModel) -> str | None:
    """The pooling of a sentence-transformers model that is a BERT-family transformer, pooling, and nothing else.

    `None` for every other: those run through the library.
    """
    config = model.json("config.json")
    modules = model.json("modules.json").get("list", [])
    names = {str(module.get("type", "")).rpartition(".")[2] for module in modules}
    if config.get("model_type") not in _GRAPH_TYPES or config.get("hidden_act") != "gelu" or names - _GRAPH_MODULES:
        return None
    if model.json("sentence_bert_config.json").get("do_lower_case"):
        return None
    where = next((m.get("path", "") for m in modules if str(m.get("type", "")).endswith("Pooling")), "1_Pooling")
    pooling = model.json(f"{where}/config.json")
    if not pooling.get("include_prompt", True):
        return None
    legacy = {
        name.removeprefix("pooling_mode_")
        for name, on in pooling.items()
        if name.startswith("pooling_mode_") and on
    }
    mode = pooling.get("pooling_mode") or {"cls_token": "cls", "mean_tokens": "mean"}.get(" ".join(legacy))
    if not pooling and not modules:
        mode = "mean"
    return mode if mode in ("cls", "mean") else None


def _locate(settings: EncoderSettings, name: str, base: Path, revision: str | None = "") -> LocalModel:
    if name.startswith(("http://", "https://")):
        raise ConfigError(
            f"{name!r} is an address, not a model: name the model, and the server in encoder.endpoint.url"
        )
    wanted, needs = settings.revision if revision == "" else revision, _needs(settings, name)
    if name == settings.model:
        return locate(name, wanted, base, needs)
    return locate(name, wanted, base, needs, key="lexical", words=("auto", "bm25", "none"))


def _needs(settings: EncoderSettings, name: str) -> tuple[str, ...]:
    return _BGE_M3_HEADS if settings.kind == "bge-m3" or name == "BAAI/bge-m3" else ()


def _kind(settings: EncoderSettings, model: LocalModel) -> str:
    if settings.kind != "auto":
        return settings.kind
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
    name = (
        model.name
        if model.name != "folder"
        else f"{model.json('config.json').get('_name_or_path') or model.folder.name}"
    )
    return resolve_instructions(
        name,
        model.json("config_sentence_transformers.json"),
        query=settings.query_instruction,
        document=settings.document_instruction,
        task=settings.task,
    )


def _bge_m3(
    settings: EncoderSettings, model: LocalModel, options: RuntimeOptions, *, dense: bool, lexical: bool
) -> Encoder:
    wanted = {"dense": dense, "token_weights": lexical, "token_vectors": dense and settings.multivectors}
    outputs = frozenset(name for name, on in wanted.items() if on)
    if options.runtime == "sentence-transformers":
        raise EncoderError(
            "encoder.runtime: sentence-transformers gives dense vectors only; set encoder.kind as well"
        )
    encoder = bge_m3_encoder(
        model,
        options,
        outputs=outputs,
        max_tokens=settings.max_tokens,
        instructions=_instructions(settings, model),
        truncate_dim=settings.truncate_dim,
    )
    if options.runtime == "flagembedding":
        from pipeline.models.flagembedding_library import FlagEmbeddingEncoder

        return FlagEmbeddingEncoder(encoder, str(model.folder), options.device)
    return encoder


def _sentence_transformers(settings: EncoderSettings, model: LocalModel, options: RuntimeOptions) -> Encoder:
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
    from pipeline.models.sentence_transformers_library import Library, SentenceTransformersEncoder

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
    )
    return SentenceTransformersEncoder(library, fingerprint, instructions, settings.truncate_dim)
