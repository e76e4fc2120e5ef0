"""Hub models and local folders of the BERT family, through OpenVINO or torch: BGE-M3, and sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import EncoderError, MissingDependencyError
from pipeline.models.contract import Runtime
from pipeline.models.files import cache
from pipeline.models.files.instructions import Instructions
from pipeline.models.files.locate import LocalModel
from pipeline.models.files.tokenizer import TOKENIZER_FILE, lacks_vocabulary
from pipeline.models.files.weights import load_linear, load_tensors, strip_prefix
from pipeline.models.local.fingerprints import dense_fingerprint, lexical_fingerprint
from pipeline.models.local.transformer import (
    OpenVinoLoader,
    Parts,
    Session,
    Tokenizer,
    TransformerEncoder,
    TransformerSpec,
)
from pipeline.models.runtime.embeddings import Embeddings
from pipeline.models.runtime.graph import GRAPH_VERSION, Heads, Layers, TransformerShape, build_graph
from pipeline.models.runtime.openvino import Mode, layers_in, refuse_precision, save_graph
from pipeline.models.runtime.quiet import quiet_libraries
from pipeline.models.runtime.torch import TorchEncoder, default_precision
from pipeline.models.tokens.stored import StoredTokenizer, stored_files, stored_tokenizer
from pipeline.names import DENSE

BATCH_TOKENS = 8192
SPECIAL_TOKENS = {"cls_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Where a model runs. `runtime`: `openvino`, `torch`. `precision`: `f32`, `bf16`, `f16`, or the best there."""

    runtime: str = "openvino"
    device: str = "cpu"
    precision: str | None = None
    batch_tokens: int = BATCH_TOKENS
    trust_remote_code: bool = False


def bge_m3_encoder(
    model: LocalModel,
    options: RuntimeOptions,
    *,
    outputs: frozenset[str],
    max_tokens: int | None = None,
    instructions: Instructions | None = None,
    truncate_dim: int | None = None,
) -> TransformerEncoder:
    """BGE-M3: CLS dense vectors, lexical weights, multi-vectors; `outputs` says which of them to compute.

    A token's lexical weight is the maximum over its occurrences; cls, eos, pad and unk get none.
    """
    tokenizer = stored_tokenizer(model.slug, lambda: tokenizer_path(model))
    special = model.json("special_tokens_map.json") or model.json("tokenizer_config.json")
    names = [_content(special.get(key, default)) for key, default in SPECIAL_TOKENS.items()]
    dropped = {found for name in names if (found := tokenizer.special_id(name)) is not None}
    spec = _spec(model, tokenizer, max_tokens, outputs, instructions, truncate_dim, tuple(sorted(dropped)))
    return TransformerEncoder(
        _loader(model, "cls", spec, options, tokenizer, heads=True),
        spec,
        dense_fingerprint(model.name, model.revision, "cls", spec),
        lexical_fingerprint("bge-m3", model.name, model.revision, spec),
        options.batch_tokens,
    )


def sentence_encoder(
    model: LocalModel,
    options: RuntimeOptions,
    *,
    pooling: str,
    max_tokens: int | None = None,
    instructions: Instructions | None = None,
    truncate_dim: int | None = None,
) -> TransformerEncoder:
    """A sentence-transformers model of transformer, mean or CLS pooling, and no further layers."""
    tokenizer = stored_tokenizer(model.slug, lambda: tokenizer_path(model))
    spec = _spec(model, tokenizer, max_tokens, frozenset({DENSE}), instructions, truncate_dim)
    fingerprint = dense_fingerprint(model.name, model.revision, pooling, spec)
    loader = _loader(model, pooling, spec, options, tokenizer, heads=False)
    return TransformerEncoder(loader, spec, fingerprint, batch_tokens=options.batch_tokens)


def tokenizer_path(model: LocalModel) -> Path:
    """tokenizer.json of a model; one that has only an older vocabulary is converted by transformers, once."""
    path = model.folder / TOKENIZER_FILE
    if path.exists():
        return path
    return (
        cache.artifact(f"tokenizer-{model.slug}", lambda folder: _convert_tokenizer(model, folder)) / TOKENIZER_FILE
    )


def saved_max_tokens(model: LocalModel) -> int | None:
    """Where sentence-transformers cuts a text, if the model was saved with that."""
    for name in ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_xlm-roberta_config.json"):
        if saved := model.json(name).get("max_seq_length"):
            return int(saved)
    return None


def trained_max_tokens(model: LocalModel) -> int:
    """Where sentence-transformers cuts a text: the saved limit, else that of the tokenizer and the positions."""
    if saved := saved_max_tokens(model):
        return saved
    positions = TransformerShape.from_config(model.json("config.json"), str(model.folder)).max_positions
    return min(positions, int(model.json("tokenizer_config.json").get("model_max_length", positions)))


@dataclass(frozen=True, slots=True)
class _TorchLoader:
    model: LocalModel
    pooling: str
    spec: TransformerSpec
    options: RuntimeOptions
    open_tokenizer: Callable[[], Tokenizer]

    @property
    def runtime(self) -> Runtime:
        device = self.options.device
        return Runtime("torch", device, self.options.precision or default_precision(device))

    def tokenizer(self) -> Tokenizer:
        return self.open_tokenizer()

    def session(self, mode: Mode) -> Session:
        return TorchEncoder(
            self.model.folder,
            self.spec.outputs,
            pooling=self.pooling,
            device=self.options.device,
            precision=self.options.precision,
            trust_remote_code=self.options.trust_remote_code,
        )


def _loader(
    model: LocalModel,
    pooling: str,
    spec: TransformerSpec,
    options: RuntimeOptions,
    tokenizer: StoredTokenizer,
    *,
    heads: bool,
) -> _TorchLoader | OpenVinoLoader:
    def open_tokenizer() -> Tokenizer:
        return tokenizer.limit(spec.max_tokens)

    if options.runtime == "torch":
        return _TorchLoader(model, pooling, spec, options, open_tokenizer)
    if options.runtime == "openvino":  # else a library runs the model, and ours only knows its tokenizer
        refuse_precision(options.precision, "encoder.precision")

    def artifact(*, checksums: bool, rebuild: bool) -> Path:
        layers = layers_in(options.precision)
        return cache.artifact(
            f"{model.slug}-{'m3' if heads else pooling}-g{GRAPH_VERSION}-{layers}",
            lambda folder: _convert(model, pooling, heads, layers, folder),
            checksums=checksums,
            rebuild=rebuild,
        )

    def tokenizer_parts() -> Parts:
        return Parts(stored_files(model.slug, lambda: tokenizer_path(model)), "stored", multivectors=heads)

    return OpenVinoLoader(artifact, spec.outputs, open_tokenizer, options.precision, tokenizer_parts)


def _spec(
    model: LocalModel,
    tokenizer: StoredTokenizer,
    max_tokens: int | None,
    outputs: frozenset[str],
    instructions: Instructions | None,
    truncate_dim: int | None,
    dropped_ids: tuple[int, ...] = (),
) -> TransformerSpec:
    config = model.json("config.json")
    shape = TransformerShape.from_config(config, str(model.folder))
    longest = trained_max_tokens(model)
    if max_tokens and not 2 < max_tokens <= shape.max_positions:
        raise EncoderError(f"encoder.max_tokens={max_tokens}: this model takes 3 to {shape.max_positions} tokens")
    if truncate_dim and truncate_dim > shape.hidden:
        raise EncoderError(f"encoder.truncate_dim={truncate_dim}: this model has {shape.hidden} dimensions")
    pad_id = tokenizer.special_id(_content(model.json("tokenizer_config.json").get("pad_token", "")))
    return TransformerSpec(
        max_tokens=max_tokens or min(longest, shape.max_positions),
        pad_id=int(config.get("pad_token_id", 0) if pad_id is None else pad_id),
        dimension=shape.hidden,
        outputs=outputs,
        dropped_ids=dropped_ids,
        instructions=instructions or Instructions(),
        truncate_dim=truncate_dim,
    )


def _convert(model: LocalModel, pooling: str, heads: bool, layers: Layers, folder: Path) -> None:
    tensors = strip_prefix(load_tensors(model.folder))
    wanted = Heads(dense=pooling)
    if heads:
        wanted = Heads(
            pooling, load_linear(model.folder, "sparse_linear"), load_linear(model.folder, "colbert_linear")
        )
    shape = TransformerShape.from_config(model.json("config.json"), str(model.folder))
    graph = build_graph(tensors, shape, wanted, layers=layers)
    save_graph(graph, Embeddings.of(tensors, shape.position_offset), folder)


def _convert_tokenizer(model: LocalModel, folder: Path) -> None:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingDependencyError(f"{model.folder} has no tokenizer.json; pip install transformers") from error
    try:
        with quiet_libraries():
            tokenizer = AutoTokenizer.from_pretrained(str(model.folder))
        tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
    except (OSError, ValueError, AttributeError) as error:
        raise EncoderError(f"{model.folder}: there is no tokenizer that can be used: {error}") from error
    if lacks_vocabulary(tokenizer):
        raise EncoderError(f"{model.folder}: has no tokenizer.json and no other vocabulary; fetch the model again")


def _content(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token)
