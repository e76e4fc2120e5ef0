"""From a model's raw outputs per batch to rows in the order of the texts; no Python loop over tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.errors import EncoderError
from pipeline.models.runtime.batching import TokenBatch
from pipeline.models.runtime.openvino import Outputs
from pipeline.names import DENSE
from pipeline.records import Encoded, Float32, MultiVectors, SparseRows


@dataclass(frozen=True, slots=True)
class Gather:
    """How to put the outputs of `count` texts together.

    `dimension`: columns of `dense` before it is cut to `truncate_dim`. `dropped_ids`: tokens that never get a
    lexical weight.
    """

    outputs: frozenset[str]
    dimension: int
    dropped_ids: Sequence[int] = ()
    truncate_dim: int | None = None

    def __call__(self, results: Iterable[tuple[TokenBatch, Outputs]], count: int) -> Encoded:
        """Collect all batches. Raises `EncoderError` if the model gives a value that is not finite."""
        dense = np.empty((count, self.dimension), np.float32) if DENSE in self.outputs else None
        entries: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Float32]] = []
        vectors: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Float32]] = []
        for batch, outputs in results:
            if dense is not None:
                dense[batch.rows] = outputs[DENSE]
            if "token_weights" in self.outputs:
                entries.append(token_entries(batch, outputs["token_weights"], self.dropped_ids))
            if "token_vectors" in self.outputs:
                kept = batch.mask[:, 1:].astype(bool)
                vectors.append((batch.rows, batch.lengths - 1, unit_rows(outputs["token_vectors"][kept])))
        if dense is not None:
            dense = unit_rows(np.ascontiguousarray(dense[:, : self.truncate_dim]))
        return Encoded(
            dense=dense,
            lexical=_sparse_rows(entries, count) if "token_weights" in self.outputs else None,
            multivectors=_multivectors(vectors, count) if "token_vectors" in self.outputs else None,
        )


def token_entries(
    batch: TokenBatch, weights: Float32, dropped_ids: Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Float32]:
    """(row, token id, weight) of a batch: weights above zero, a repeated token once with its maximum.

    `weights`: float32 (b, t). `dropped_ids` get none.
    Rows are those of the call. Raises `EncoderError` for a weight that is not finite.
    """
    kept = (batch.mask > 0) & (weights > 0) & ~np.isin(batch.ids, dropped_ids)
    if not np.isfinite(weights[batch.mask > 0]).all():
        raise EncoderError("the encoder gave a lexical weight that is not finite; its weights may be damaged")
    rows = np.broadcast_to(batch.rows[:, None], kept.shape)[kept]
    ids, values = batch.ids[kept], weights[kept]
    order = np.lexsort((values, ids, rows))
    rows, ids, values = rows[order], ids[order], values[order]
    last = np.ones(len(ids), bool)
    last[:-1] = (ids[1:] != ids[:-1]) | (rows[1:] != rows[:-1])
    return rows[last], ids[last], values[last]


def unit_rows(vectors: Float32) -> Float32:
    """Rows divided by their length, in place. Raises `EncoderError` if one is not finite."""
    if not np.isfinite(vectors).all():
        raise EncoderError("the encoder gave a vector that is not finite; its weights may be damaged")
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return vectors


def _sparse_rows(
    entries: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Float32]], count: int
) -> SparseRows:
    rows = np.concatenate([np.zeros(0, np.int64), *(entry[0] for entry in entries)])
    ids = np.concatenate([np.zeros(0, np.int32), *(entry[1] for entry in entries)])
    weights = np.concatenate([np.zeros(0, np.float32), *(entry[2] for entry in entries)])
    order = np.argsort(rows, kind="stable")  # token ids are ascending within a row already
    indptr = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=indptr[1:])
    return SparseRows(indptr, ids[order].astype(np.uint64), weights[order])


def _multivectors(
    parts: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Float32]], count: int
) -> MultiVectors:
    offsets = np.zeros(count + 1, np.int64)
    for rows, lengths, _ in parts:
        offsets[rows + 1] = lengths
    np.cumsum(offsets, out=offsets)
    columns = parts[0][2].shape[1] if parts else 0
    vectors = np.empty((int(offsets[-1]), columns), np.float32)
    for rows, lengths, values in parts:
        ends = np.cumsum(lengths)
        target = np.repeat(offsets[rows] - (ends - lengths), lengths) + np.arange(len(values))
        vectors[target] = values
    return MultiVectors(offsets, vectors)
