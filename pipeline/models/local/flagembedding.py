"""FlagEmbedding's own `encode`, as the reference for BGE-M3 (`runtime: flagembedding`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import ConfigError, EncoderError, MissingDependencyError
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.models.local.transformer import TransformerEncoder
from pipeline.models.runtime.gather import unit_rows
from pipeline.models.runtime.quiet import quiet_libraries, reason
from pipeline.models.runtime.torch import THREADS, usable_device
from pipeline.names import DENSE
from pipeline.records import Encoded, MultiVectors, SparseRows


class FlagEmbeddingEncoder:
    """BGE-M3 through `FlagEmbedding.BGEM3FlagModel`: its batching, its post-processing, f32 on a CPU, by default
    f16 elsewhere.

    `ours`: the same model on our runtime, which knows the fingerprints and the tokenizer; it is not loaded.
    Raises `ConfigError` for another precision than f32 on a CPU, where the library knows no other.
    """

    lexical_scoring = LexicalScoring("dot")
    gives_multivectors = False

    def __init__(self, ours: TransformerEncoder, folder: str, device: str, precision: str | None = None) -> None:
        if device == "cpu" and precision not in (None, "f32"):
            raise ConfigError(
                f"encoder.precision: {precision} is not what FlagEmbedding computes in on a CPU; set f32 or auto, "
                "or encoder.runtime: openvino"
            )
        self._ours, self._folder, self._device, self._spec = ours, folder, device, ours.spec
        self.dense_fingerprint, self.lexical_fingerprint = ours.dense_fingerprint, ours.lexical_fingerprint
        self.dimension, self.gives_multivectors = ours.dimension, ours.gives_multivectors
        self.runtime = Runtime("flagembedding", device, precision or ("f32" if device == "cpu" else "f16"))
        self._model: Any = None

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages."""
        return self._encode([self._spec.instructions.document + text for text in texts])

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries."""
        return self._encode([self._spec.instructions.query + text for text in texts])

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """`{token id: token}` of a query that can carry a lexical weight."""
        return self._ours.describe_tokens(text)

    def _encode(self, texts: list[str]) -> Encoded:
        outputs, spec = self._spec.outputs, self._spec
        columns = self.dimension or spec.dimension
        if not texts:
            return Encoded(
                np.empty((0, columns), np.float32) if DENSE in outputs else None,
                SparseRows.from_dicts([]) if "token_weights" in outputs else None,
                MultiVectors(np.zeros(1, np.int64), np.empty((0, spec.dimension), np.float32))
                if "token_vectors" in outputs
                else None,
            )
        library = self._library()
        try:
            found = library.encode(
                texts,
                batch_size=12,
                max_length=spec.max_tokens,
                return_dense=DENSE in outputs,
                return_sparse="token_weights" in outputs,
                return_colbert_vecs="token_vectors" in outputs,
            )
        except (RuntimeError, ValueError, IndexError, MemoryError) as error:
            raise EncoderError(
                f"{self._folder}: FlagEmbedding failed on {len(texts)} texts: {reason(error)}; "
                "lower encoder.max_tokens, or set encoder.runtime: auto"
            ) from error
        dense, lexical, multivectors = None, None, None
        if DENSE in outputs:
            cut = np.array(found["dense_vecs"][:, : spec.truncate_dim], np.float32)
            dense = unit_rows(cut)
        if "token_weights" in outputs:
            rows = [{int(key): float(value) for key, value in row.items()} for row in found["lexical_weights"]]
            lexical = SparseRows.from_dicts(rows)
        if "token_vectors" in outputs:
            parts = [np.asarray(part, np.float32) for part in found["colbert_vecs"]]
            offsets = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
            multivectors = MultiVectors(offsets, np.concatenate(parts))
        return Encoded(dense, lexical, multivectors)

    def _library(self) -> Any:
        THREADS.needed()
        if self._model is None:
            try:
                from FlagEmbedding import BGEM3FlagModel
            except ImportError as error:
                raise MissingDependencyError(f"runtime: flagembedding needs FlagEmbedding ({error})") from error
            logging.getLogger("FlagEmbedding").setLevel(logging.WARNING)
            usable_device(self._device)
            precision = self.runtime.precision
            try:
                with quiet_libraries():
                    self._model = BGEM3FlagModel(
                        self._folder,
                        use_fp16=precision == "f16",
                        use_bf16=precision == "bf16",
                        devices=[self._device],
                    )
            except Exception as error:  # a checkpoint that holds code ends in an error of its own kind
                raise EncoderError(
                    f"{self._folder}: FlagEmbedding cannot load this model: {reason(error)}"
                ) from error
        return self._model
