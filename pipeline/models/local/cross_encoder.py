"""Cross-encoders on this machine: through OpenVINO without torch, FlagEmbedding, or sentence-transformers."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import RerankSettings
from pipeline.config.search import RERANK
from pipeline.errors import EncoderError, MissingDependencyError
from pipeline.forking import shared_property
from pipeline.models.contract import Reranker, Runtime
from pipeline.models.files import cache
from pipeline.models.files.locate import LocalModel
from pipeline.models.files.tokenizer import TOKENIZER_FILE, TokenIds, load_tokenizer
from pipeline.models.files.weights import load_tensors, strip_prefix
from pipeline.models.local.bert import tokenizer_path
from pipeline.models.runtime.batching import TokenBatch, padded
from pipeline.models.runtime.embeddings import Embeddings
from pipeline.models.runtime.graph import GRAPH_VERSION, Heads, TransformerShape, build_graph
from pipeline.models.runtime.openvino import (
    OpenVinoEncoder,
    layers_in,
    refuse_precision,
    save_graph,
    usable_precision,
)
from pipeline.models.runtime.quiet import quiet_libraries, reason
from pipeline.models.runtime.torch import THREADS, best_device
from pipeline.records import Float32

BATCH_TOKENS = 4096
_GRAPH_ARCHITECTURES = {
    "BertForSequenceClassification": ("pooler.dense", "classifier"),
    "RobertaForSequenceClassification": ("classifier.dense", "classifier.out_proj"),
    "XLMRobertaForSequenceClassification": ("classifier.dense", "classifier.out_proj"),
}
"""The two linear maps of the head, with tanh between them, by architecture."""


def local_reranker(settings: RerankSettings, model: LocalModel) -> Reranker:
    """The cross-encoder in a folder. Raises `EncoderError` if the runtime asked for cannot run it."""
    device = best_device() if settings.device == "auto" else settings.device
    is_graph = _is_graph(model)
    runtime = settings.runtime
    if runtime == "auto":
        runtime = "openvino" if is_graph and device == "cpu" else "sentence-transformers"
    if runtime == "openvino":
        if not is_graph:
            raise EncoderError(
                f"{RERANK}.runtime: openvino cannot run {settings.model}: it is no BERT-family cross-encoder; "
                f"set {RERANK}.runtime: sentence-transformers"
            )
        if settings.device not in ("auto", "cpu"):
            raise EncoderError(
                f"{RERANK}.runtime: openvino runs on the CPU, not on {device}; set {RERANK}.device: cpu"
            )
        return GraphReranker(model, settings)
    if runtime == "flagembedding":
        return LibraryReranker(model, device, settings, "FlagEmbedding", _flag_reranker)
    return LibraryReranker(model, device, settings, "sentence-transformers", _cross_encoder)


def _is_graph(model: LocalModel) -> bool:
    config = model.json("config.json")
    architecture = (config.get("architectures") or [""])[0]
    plain = config.get("hidden_act") == "gelu" and config.get("position_embedding_type", "absolute") == "absolute"
    return plain and architecture in _GRAPH_ARCHITECTURES and not (model.folder / "modules.json").exists()


class GraphReranker:
    """A BERT-family cross-encoder on the CPU runtime of the encoders.

    A query is cut to three quarters of `max_tokens`, then the passage to what is left, as FlagEmbedding does.
    """

    def __init__(self, model: LocalModel, settings: RerankSettings) -> None:
        config = model.json("config.json")
        shape = TransformerShape.from_config(config, str(model.folder))
        self._model = model
        self._precision = None if settings.precision == "auto" else settings.precision
        refuse_precision(self._precision, f"{RERANK}.precision")
        self._max_tokens = min(settings.max_tokens, shape.max_positions)
        self._pad_id = int(config.get("pad_token_id") or 0)
        # A passage's tokens are of type 1 where the model knows types: rows of their own, below the vocabulary.
        self._type_rows = int(config["vocab_size"]) if int(config.get("type_vocab_size", 1)) > 1 else 0

    @property
    def runtime(self) -> Runtime:
        """OpenVINO on the CPU."""
        return Runtime("openvino", "cpu", usable_precision(self._precision))

    def score(self, query: str, passages: Sequence[str]) -> Float32:
        """The model's logits. Raises `EncoderError`."""
        tokenizer, session = self._parts
        result = np.zeros(len(passages), np.float32)
        for batch, outputs in session.run(self._batches(tokenizer, query, passages)):
            result[batch.rows] = outputs["score"][:, 0]
        if not np.isfinite(result).all():
            raise EncoderError(f"{self._model.folder}: gave a score that is not finite; its weights may be damaged")
        return result

    @shared_property
    def _parts(self) -> tuple[Any, OpenVinoEncoder]:
        return cache.loaded(self._artifact, self._load)

    def _load(self, folder: Path) -> tuple[Any, OpenVinoEncoder]:
        tokenizer = load_tokenizer(folder / TOKENIZER_FILE)
        tokenizer.enable_truncation(max_length=self._max_tokens, strategy="only_second")
        return tokenizer, OpenVinoEncoder(folder, "throughput", {"score"}, self._precision)

    @property
    def _artifact(self) -> cache.Artifact:
        def artifact(*, checksums: bool, rebuild: bool) -> Path:
            name = f"{self._model.slug}-rerank-g{GRAPH_VERSION}-{layers_in(self._precision)}"
            return cache.artifact(name, self._convert, checksums=checksums, rebuild=rebuild)

        return artifact

    def _convert(self, folder: Path) -> None:
        config = self._model.json("config.json")
        tensors = strip_prefix(load_tensors(self._model.folder))
        try:
            first, last = (
                (tensors[f"{name}.weight"], tensors[f"{name}.bias"])
                for name in _GRAPH_ARCHITECTURES[config["architectures"][0]]
            )
        except KeyError as error:
            raise EncoderError(
                f"{self._model.folder}: its weights have no tensor {error.args[0]!r}; fetch the model again"
            ) from None
        shape = TransformerShape.from_config(config, str(self._model.folder))
        words = np.asarray(tensors["embeddings.word_embeddings.weight"])
        if self._type_rows:
            types = np.asarray(tensors["embeddings.token_type_embeddings.weight"], np.float32)
            words = np.concatenate([words, words + (types[1] - types[0])])
        heads = Heads(dense=None, score=(first, last))
        embeddings = Embeddings.of(tensors, shape.position_offset, words)
        save_graph(build_graph(tensors, shape, heads, layers=layers_in(self._precision)), embeddings, folder)
        shutil.copyfile(tokenizer_path(self._model), folder / TOKENIZER_FILE)

    def _batches(self, tokenizer: Any, query: str, passages: Sequence[str]) -> Iterator[TokenBatch]:
        return padded(self._pairs(tokenizer, query, passages), BATCH_TOKENS, self._pad_id, self._max_tokens)

    def _pairs(self, tokenizer: Any, query: str, passages: Sequence[str]) -> list[TokenIds]:
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in (query, *passages)]
        tokenizer.no_truncation()
        encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        tokenizer.enable_truncation(max_length=self._max_tokens, strategy="only_second")
        encodings[0].truncate(self._max_tokens * 3 // 4)
        rows = []
        for passage in encodings[1:]:
            passage.truncate(self._max_tokens)
            pair = tokenizer.post_process(encodings[0], passage)
            ids = np.asarray(pair.ids, np.int32)
            if self._type_rows:
                ids += np.asarray(pair.type_ids, np.int32) * self._type_rows
            rows.append(ids)
        return rows


class LibraryReranker:
    """A cross-encoder through the library that published it. `library`: its name; `load`: opens the model."""

    def __init__(
        self,
        model: LocalModel,
        device: str,
        settings: RerankSettings,
        library: str,
        load: Callable[[LocalModel, str, RerankSettings], Callable[[list[tuple[str, str]]], Any]],
    ) -> None:
        self._model, self._device, self._settings = model, device, settings
        self._library, self._loader = library, load
        self.runtime = Runtime(library.lower(), device, "as the library chooses")

    @shared_property
    def _predict(self) -> Callable[[list[tuple[str, str]]], Any]:
        folder = self._model.folder
        try:
            with quiet_libraries():
                return self._loader(self._model, self._device, self._settings)
        except ImportError as error:
            raise MissingDependencyError(
                f"{RERANK}.runtime: {self._library} cannot be imported ({error}); install it"
            ) from error
        except Exception as error:  # safetensors and tokenizers raise errors of their own
            raise EncoderError(
                f"{RERANK}.model={self._settings.model!r}: {self._library} cannot load {folder}: {reason(error)}; "
                "fetch the model again or choose another"
            ) from error

    def score(self, query: str, passages: Sequence[str]) -> Float32:
        """The model's logits. Raises `EncoderError`."""
        THREADS.needed()
        predict = self._predict
        if not passages:
            return np.zeros(0, np.float32)
        try:
            found = predict([(query, passage) for passage in passages])
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EncoderError(
                f"{self._model.folder}: {self._library} failed on {len(passages)} passages: {reason(error)}; "
                f"lower {RERANK}.top or {RERANK}.max_tokens"
            ) from error
        scores = np.asarray(found, np.float32).reshape(-1)
        if scores.shape != (len(passages),) or not np.isfinite(scores).all():
            raise EncoderError(f"{self._model.folder}: did not give one finite score a passage; is it a reranker?")
        return scores


def _flag_reranker(
    model: LocalModel, device: str, settings: RerankSettings
) -> Callable[[list[tuple[str, str]]], Any]:
    from FlagEmbedding import FlagReranker

    logging.getLogger("FlagEmbedding").setLevel(logging.WARNING)
    reranker = FlagReranker(
        str(model.folder),
        use_fp16=device != "cpu",
        devices=[device],
        max_length=settings.max_tokens,
        trust_remote_code=settings.trust_remote_code,
    )
    return lambda pairs: reranker.compute_score(pairs, batch_size=_pairs_a_batch(settings), normalize=False)


def _cross_encoder(
    model: LocalModel, device: str, settings: RerankSettings
) -> Callable[[list[tuple[str, str]]], Any]:
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    encoder = CrossEncoder(
        str(model.folder),
        device=device,
        max_length=settings.max_tokens,
        trust_remote_code=settings.trust_remote_code,
    )
    logit = Identity()
    return lambda pairs: encoder.predict(
        pairs, batch_size=_pairs_a_batch(settings), activation_fn=logit, show_progress_bar=False
    )


def _pairs_a_batch(settings: RerankSettings) -> int:
    return max(1, BATCH_TOKENS // settings.max_tokens)
