"""A BERT-family encoder on the CPU: tokenizer, converted graph and batching put together, loaded when used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from pipeline.errors import EncoderError
from pipeline.models.batching import TokenBatch, token_batches
from pipeline.models.openvino_runtime import Mode, OpenVinoEncoder, Outputs
from pipeline.models.tokenizing import TextTokenizer
from pipeline.records import Float32

BATCH_TOKENS = 2048
"""Padded tokens of a batch: a small model works best while its activations stay in the cache."""
TOKENIZER_FILE = "tokenizer.json"


T = TypeVar("T")


class Artifact(Protocol):
    """Gives the folder of the converted model; see `cache.artifact` for the flags."""

    def __call__(self, *, checksums: bool, rebuild: bool) -> Path: ...


class CpuTransformer:
    """Runs texts through a converted model.

    `max_tokens` cuts a text, special tokens counted. `outputs`: heads to compute. Nothing is loaded before
    the first `run`. A converted model that turns out damaged is converted again, once.
    """

    def __init__(
        self,
        artifact: Artifact,
        *,
        max_tokens: int,
        pad_id: int,
        outputs: Iterable[str] = ("dense",),
        batch_tokens: int = BATCH_TOKENS,
        precision: str | None = None,
    ) -> None:
        self._artifact, self._max_tokens, self._pad_id = artifact, max_tokens, pad_id
        self._outputs, self._batch_tokens, self._precision = frozenset(outputs), batch_tokens, precision
        self._sessions: dict[Mode, OpenVinoEncoder] = {}
        self._tokenizer: TextTokenizer | None = None

    def run(self, texts: Sequence[str], mode: Mode) -> Iterator[tuple[TokenBatch, Outputs]]:
        """Encode texts in batches of similar length; `TokenBatch.rows` says which texts a batch holds."""
        session = self._session(mode)
        batches = token_batches(texts, self.tokenizer.encode, self._batch_tokens, self._pad_id)
        return session.run(batches)

    @property
    def tokenizer(self) -> TextTokenizer:
        """The tokenizer, with truncation."""
        if self._tokenizer is None:
            self._tokenizer = self._load(
                lambda folder: TextTokenizer(folder / TOKENIZER_FILE, self._max_tokens), False
            )
        return self._tokenizer

    def _session(self, mode: Mode) -> OpenVinoEncoder:
        # A process that builds and then queries uses one compiled model for both: half the memory.
        if found := self._sessions.get(mode) or self._sessions.get("throughput"):
            return found
        session = self._load(
            lambda f: OpenVinoEncoder(f, mode, self._outputs, self._precision), mode == "throughput"
        )
        self._sessions[mode] = session
        return session

    def _load(self, load: Callable[[Path], T], checksums: bool) -> T:
        try:
            return load(self._artifact(checksums=checksums, rebuild=False))
        except EncoderError:
            return load(self._artifact(checksums=True, rebuild=True))


def gather_dense(results: Iterable[tuple[TokenBatch, Outputs]], count: int, dimension: int) -> Float32:
    """`dense` of all batches, in the order of the texts: float32 (count, dimension), rows L2-normalised.

    Raises `EncoderError` if a vector is not finite.
    """
    dense = np.empty((count, dimension), np.float32)
    for batch, outputs in results:
        dense[batch.rows] = outputs["dense"]
    return unit_rows(dense)


def unit_rows(vectors: Float32) -> Float32:
    """Rows divided by their length, in place. Raises `EncoderError` if one is not finite."""
    if not np.isfinite(vectors).all():
        raise EncoderError("the encoder gave a vector that is not finite; its weights may be damaged")
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return vectors
