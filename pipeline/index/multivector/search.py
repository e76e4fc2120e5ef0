"""Token-level vectors of a segment: int8 with a scale for each vector, or fp16, memory-mapped.

One Arrow IPC file; a row is a chunk. `codes` holds the chunk's vectors one after the other (tokens · dimension
values), `scales` one float32 a vector (int8 only): value = code · scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.schemas import as_array
from pipeline.records import Float32, MultiVectors

MULTIVECTOR_FILE = "multivector.arrow"
Precision = Literal["int8", "fp16"]
_BATCH_ROWS = 1024


def bytes_per_token(dimension: int, precision: Precision) -> int:
    """Disk space of one token's vector."""
    return dimension + 4 if precision == "int8" else 2 * dimension


def schema(dimension: int, precision: Precision) -> pa.Schema:
    """The file's schema; dimension and precision stand in its metadata."""
    fields = [
        pa.field("codes", pa.large_binary(), nullable=False),
        pa.field("scales", pa.large_list(pa.float32()), nullable=False),
    ]
    return pa.schema(fields, metadata={"dimension": str(dimension), "precision": precision})


def to_batch(rows: MultiVectors, precision: Precision) -> pa.RecordBatch:
    """Vectors of some chunks as a record batch, quantised."""
    dimension = rows.vectors.shape[1]
    codes, scales = _quantise(rows.vectors, precision)
    byte_offsets = rows.offsets * (dimension * codes.dtype.itemsize)
    scale_offsets = rows.offsets if precision == "int8" else np.zeros_like(rows.offsets)
    binary = pa.Array.from_buffers(
        pa.large_binary(), len(rows.offsets) - 1, [None, pa.py_buffer(byte_offsets), pa.py_buffer(codes)]
    )
    lists = pa.LargeListArray.from_arrays(pa.array(scale_offsets), pa.array(scales))
    return pa.RecordBatch.from_arrays([binary, lists], schema=schema(dimension, precision))


def _quantise(vectors: Float32, precision: Precision) -> tuple[npt.NDArray[np.generic], Float32]:
    if precision == "fp16":
        return np.ascontiguousarray(vectors, np.float16), np.zeros(0, np.float32)
    scales = (np.abs(vectors).max(axis=1, initial=0) / 127).astype(np.float32)
    divisors = np.where(scales > 0, scales, 1)[:, None]
    return np.rint(vectors / divisors).astype(np.int8), scales


def write(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches of one schema as a file; at least one batch is needed."""
    iterator = iter(batches)
    first = next(iterator)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
        writer.write_batch(first)
        for batch in iterator:
            writer.write_batch(batch)


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a file, for copying into another. Raises `CorruptIndexError`."""
    yield from _sound_batches(path, _open(path))


def split(rows: MultiVectors, size: int = _BATCH_ROWS) -> Iterator[MultiVectors]:
    """The same rows in pieces of at most `size` chunks."""
    count = len(rows.offsets) - 1
    for start in range(0, max(count, 1), size):
        offsets = rows.offsets[start : start + size + 1]
        yield MultiVectors(offsets - offsets[0], rows.vectors[offsets[0] : offsets[-1]])


class MultiVectorIndex:
    """Random access to the vectors of chunks. `dimension`: columns; `precision`: `int8` or `fp16`."""

    def __init__(self, folder: Path, chunks: int) -> None:
        """Open a segment's file. Raises `CorruptIndexError`."""
        path = self._path = folder / MULTIVECTOR_FILE
        self._reader = _open(path)
        metadata = self._reader.schema.metadata or {}
        try:
            self.dimension = int(metadata[b"dimension"])
            self.precision = metadata[b"precision"].decode()
            if self.dimension < 1 or self._reader.schema != schema(self.dimension, "int8"):
                raise ValueError
            self._dtype = np.dtype({"int8": np.int8, "fp16": np.float16}[self.precision])
        except (KeyError, ValueError):
            raise CorruptIndexError(f"{path}: not a multi-vector file; `pipeline build --full`") from None
        self._batches = list(_sound_batches(path, self._reader))
        if not all(self._fits(batch) for batch in self._batches):
            raise CorruptIndexError(f"{path}: its vectors and scales do not fit; `pipeline build --full`")
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        if int(self._starts[-1]) != chunks:
            raise CorruptIndexError(f"{path}: holds {self._starts[-1]} chunks where the manifest says {chunks}")

    def _fits(self, batch: pa.RecordBatch) -> bool:
        """Whether every chunk has whole vectors, and for int8 a scale for each."""
        codes, scales = batch.columns
        if codes.null_count or scales.null_count or scales.values.null_count:
            return False
        offsets = (
            np.frombuffer(codes.buffers()[1], np.int64, len(codes) + 1) if len(codes) else np.zeros(1, np.int64)
        )
        tokens, rest = np.divmod(np.diff(offsets), self.dimension * self._dtype.itemsize)
        fits = self.precision == "fp16" or np.array_equal(tokens, np.diff(as_array(scales.offsets)))
        return not rest.any() and fits

    def vectors(self, ordinals: Iterable[int]) -> MultiVectors:
        """The vectors of these chunks, as float32, in the order asked for."""
        parts = [self._chunk(int(ordinal)) for ordinal in ordinals]
        offsets = np.cumsum([0, *(len(part) for part in parts)])
        stacked = np.concatenate(parts) if parts else np.zeros((0, self.dimension), np.float32)
        return MultiVectors(offsets, stacked)

    def scores(self, query: Float32, ordinals: Iterable[int]) -> Float32:
        """`late_interaction` of these chunks with a query: float32 (t, d). Raises `CorruptIndexError`."""
        if len(query) and query.shape[1] != self.dimension:
            raise CorruptIndexError(
                f"{self._path}: {self.dimension} dimensions where the encoder gives {query.shape[1]}; "
                "`pipeline build --full`"
            )
        return late_interaction(query, self.vectors(ordinals))

    def _chunk(self, ordinal: int) -> Float32:
        number = int(np.searchsorted(self._starts, ordinal, side="right")) - 1
        row = ordinal - int(self._starts[number])
        batch = self._batches[number]
        codes = np.frombuffer(batch.column("codes")[row].as_buffer(), self._dtype).reshape(-1, self.dimension)
        if self.precision == "fp16":
            return codes.astype(np.float32)
        scales: Float32 = as_array(batch.column("scales")[row].values)
        return codes.astype(np.float32) * scales[:, None]


def late_interaction(query: Float32, passages: MultiVectors) -> Float32:
    """Mean over the query's tokens of the best match among a passage's tokens, for each passage: float32 (n,).

    `query`: float32 (t, d). The score of FlagEmbedding's `colbert_score` (Khattab & Zaharia, 2020, divided by t).
    A passage or a query without tokens scores 0. In float64: in float32 a score would depend, in its last bits,
    on which passages it is computed with.
    """
    count = len(passages.offsets) - 1
    result = np.zeros(count, np.float32)
    filled = np.flatnonzero(np.diff(passages.offsets) > 0)
    if not len(filled) or not len(query):
        return result
    similarities = query.astype(np.float64) @ passages.vectors.astype(np.float64).T
    best = np.maximum.reduceat(similarities, passages.offsets[:-1][filled], axis=1)
    result[filled] = best.mean(axis=0)
    return result


def _sound_batches(path: Path, reader: pa.ipc.RecordBatchFileReader) -> Iterator[pa.RecordBatch]:
    """Batches whose offsets can be followed: those of a file made to mislead would lead out of it."""
    try:
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            batch.validate(full=True)
            yield batch
    except (pa.ArrowException, OSError) as error:
        raise files.damage(error, f"{path}: cannot be read ({error}); `pipeline build --full`") from None


def _open(path: Path) -> pa.ipc.RecordBatchFileReader:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise files.damage(
            error, f"{path}: cannot be read ({error}); rebuild with `pipeline build --full`"
        ) from None
