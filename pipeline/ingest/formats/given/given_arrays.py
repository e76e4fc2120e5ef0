"""The arrays of a row whose vectors are given: dense, weights of tokens, multi-vectors, each checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.given import MULTIVECTORS, TOKEN_IDS, WEIGHTS, GivenVectors, Wanted
from pipeline.index.schemas import as_array
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.records import Float32

AS_IT_IS = 0.01
"""A vector whose length differs from 1 by no more is kept to the bit; another is brought to length 1."""

TOKENS_AS_THEY_ARE = 0.03
"""The same of multi-vectors, which may have been stored in 8 bits."""


def wrong_columns(schema: pa.Schema, vector: str, wanted: Wanted) -> str | None:
    """What a file lacks to give what is wanted, in words; `None`: nothing. `vector`: the column of vectors."""
    needed = {vector: ("a list of floating-point numbers", _is_floats)}
    if wanted.lexical:
        needed[TOKEN_IDS] = ("a list of whole numbers", _is_integers)
        needed[WEIGHTS] = ("a list of floating-point numbers", _is_floats)
    if wanted.token_dimension is not None:
        needed[MULTIVECTORS] = ("a list of lists of floating-point numbers", _is_lists_of_floats)
    for name, (form, fits) in needed.items():
        if schema.names.count(name) != 1:
            listed = ", ".join(schema.names[:12]) or "none"
            cure = _CURES.get(name, "name it in `vector_field` of the source")
            return f"has no column `{name}`, or several; its columns: {listed}; {cure}"
        if not fits(schema.field(name).type):
            return f"column `{name}` is {schema.field(name).type}, not {form}"
    kind = schema.field(vector).type
    if pa.types.is_fixed_size_list(kind) and kind.list_size != wanted.dimension:
        return f"column `{vector}` has vectors of {kind.list_size} dimensions, {wanted.dimension} are needed"
    return None


_CURES = {
    TOKEN_IDS: "write them too, or set encoder.lexical: bm25",
    WEIGHTS: "write them too, or set encoder.lexical: bm25",
    MULTIVECTORS: "write them too, or remove encoder.multivectors",
}


def vectors_of(batch: pa.RecordBatch, i: int, vector: str, wanted: Wanted) -> GivenVectors:
    """What row `i` of a batch gives. Raises `UnreadableError` for what cannot be indexed."""
    dense = _unit(_numbers(batch.column(vector)[i].values, vector), vector, wanted.dimension, AS_IT_IS)
    token_ids, weights = _weights(batch, i) if wanted.lexical else (b"", b"")
    multivectors = _token_vectors(batch, i, wanted.token_dimension) if wanted.token_dimension else b""
    return GivenVectors(dense.tobytes(), token_ids, weights, multivectors)


def _weights(batch: pa.RecordBatch, i: int) -> tuple[bytes, bytes]:
    ids = _values(batch.column(TOKEN_IDS)[i].values, TOKEN_IDS)
    weights = _numbers(batch.column(WEIGHTS)[i].values, WEIGHTS)
    if len(ids) != len(weights):
        raise UnreadableError(f"has {len(ids)} {TOKEN_IDS} and {len(weights)} {WEIGHTS}")
    if len(ids) and ids.min() < 0:
        raise UnreadableError(f"{TOKEN_IDS}: {ids.min()} is below 0")
    if not (weights > 0).all():
        raise UnreadableError(f"{WEIGHTS}: {weights.min():g} is not above 0")
    order = np.argsort(ids, kind="stable")
    ids = ids[order].astype(np.uint64)
    if (ids[1:] == ids[:-1]).any():
        twice = int(ids[1:][ids[1:] == ids[:-1]][0])
        raise UnreadableError(f"{TOKEN_IDS}: {twice} is there twice")
    return ids.tobytes(), weights[order].tobytes()


def _token_vectors(batch: pa.RecordBatch, i: int, dimension: int) -> bytes:
    rows = batch.column(MULTIVECTORS)[i].values
    if rows is None or not len(rows):
        raise UnreadableError(f"has no {MULTIVECTORS}")
    if rows.null_count:
        raise UnreadableError(f"{MULTIVECTORS}: one of them is null")
    kind = rows.type
    sizes = {kind.list_size} if pa.types.is_fixed_size_list(kind) else set(np.diff(as_array(rows.offsets)).tolist())
    if sizes != {dimension}:
        raise UnreadableError(f"{MULTIVECTORS}: have {_some(sizes)} dimensions, not {dimension}")
    vectors = _numbers(rows.flatten(), MULTIVECTORS).reshape(-1, dimension)
    return _unit(vectors, MULTIVECTORS, dimension, TOKENS_AS_THEY_ARE).tobytes()


def _unit(vectors: Float32, name: str, dimension: int, tolerance: float) -> Float32:
    """Vectors of length 1: as they are where they differ by no more than `tolerance`."""
    if vectors.shape[-1] != dimension:
        raise UnreadableError(f"{name}: has {vectors.shape[-1]} dimensions, not {dimension}")
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=-1, keepdims=True)
    if not (lengths > 0).all():
        raise UnreadableError(f"{name}: is zero, which has no direction")
    scaled: Float32 = np.where(np.abs(lengths - 1) <= tolerance, vectors, (exact / lengths).astype(np.float32))
    return scaled


def _numbers(values: pa.Array | None, name: str) -> Float32:
    found = _values(values, name)
    with np.errstate(over="ignore"):
        numbers = found.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise UnreadableError(f"{name}: holds a number that is not finite, or beyond float32")
    return numbers


def _values(values: pa.Array | None, name: str) -> npt.NDArray[Any]:
    if values is None:
        raise UnreadableError(f"{name}: is null")
    if values.null_count:
        raise UnreadableError(f"{name}: holds a null")
    return as_array(values)


def _some(sizes: set[int]) -> str:
    return " and ".join(map(str, sorted(sizes)[:3]))


def _item(kind: pa.DataType) -> pa.DataType | None:
    """What a list type is a list of."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return kind.value_type if is_list else None


def _is_floats(kind: pa.DataType) -> bool:
    item = _item(kind)
    return item is not None and bool(pa.types.is_floating(item))


def _is_integers(kind: pa.DataType) -> bool:
    item = _item(kind)
    return item is not None and bool(pa.types.is_integer(item))


def _is_lists_of_floats(kind: pa.DataType) -> bool:
    item = _item(kind)
    return item is not None and _is_floats(item)
