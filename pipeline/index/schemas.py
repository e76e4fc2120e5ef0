"""Arrow schemas of the files of a segment, and the conversion of records to and from tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.given import row_hash
from pipeline.records import Chunk, SparseRows

CHUNK_SCHEMA = pa.schema(
    [
        pa.field("chunk_id", pa.string(), nullable=False),
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("headings", pa.list_(pa.string()), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("doc_hash", pa.string(), nullable=False),
        pa.field("text_hash", pa.binary(16), nullable=False),
        pa.field("context", pa.string(), nullable=False),
    ]
)
"""`metadata` is a JSON object; `doc_hash` the document's content hash; `context` what is encoded before the text;
`text_hash` BLAKE2b-128 of both, as they are encoded, or `row_hash` where vectors were given with them."""

_WITHOUT_CONTEXT = CHUNK_SCHEMA.remove(CHUNK_SCHEMA.get_field_index("context"))


def are_chunks(schema: pa.Schema) -> bool:
    """Whether a file of this schema holds chunks: `CHUNK_SCHEMA`, or as it was before chunks had a context."""
    return bool(schema.equals(CHUNK_SCHEMA) or schema.equals(_WITHOUT_CONTEXT))


def with_context(table: pa.Table) -> pa.Table:
    """The table with a column `context`: empty where it was written before chunks had one."""
    if "context" in table.column_names:
        return table
    return table.append_column(CHUNK_SCHEMA.field("context"), pa.array([""] * len(table), pa.string()))


LEXICAL_SCHEMA = pa.schema(
    [
        pa.field("token_ids", pa.list_(pa.uint64()), nullable=False),
        pa.field("weights", pa.list_(pa.float32()), nullable=False),
    ]
)
"""One row a chunk, in chunk order; token ids ascending and unique."""

POSTINGS_SCHEMA = pa.schema(
    [
        pa.field("token_id", pa.uint64(), nullable=False),
        pa.field("chunks", pa.list_(pa.uint16()), nullable=False),
        pa.field("weights", pa.list_(pa.float32()), nullable=False),
    ]
)
"""One record batch a tile of 65,536 chunks, one row a token; `chunks` are ordinals within the tile, ascending."""


def as_array(values: pa.Array) -> npt.NDArray[Any]:
    """A primitive Arrow array without nulls as a NumPy view. `to_numpy` would import pandas: slow cold starts."""
    view: npt.NDArray[Any] = np.from_dlpack(values)
    return view


def rows_array(rows: npt.NDArray[np.int64]) -> pa.Array:
    """Numbers of rows as an Arrow array. `pa.array` would import pandas."""
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])


def mask_array(values: npt.NDArray[np.bool_]) -> pa.Array:
    """A mask as an Arrow array. `pa.array` would import pandas."""
    return pa.Array.from_buffers(
        pa.bool_(), len(values), [None, pa.py_buffer(np.packbits(values, bitorder="little"))]
    )


def text_hash(text: str) -> bytes:
    """BLAKE2b-128 of a text that is encoded: a chunk's, with its context."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()


def chunks_to_table(chunks: Sequence[Chunk]) -> pa.Table:
    """Chunks as a table of `CHUNK_SCHEMA`."""
    return pa.table(
        [
            [c.chunk_id for c in chunks],
            [c.doc_id for c in chunks],
            [c.ordinal for c in chunks],
            [c.start for c in chunks],
            [c.end for c in chunks],
            [c.text for c in chunks],
            [list(c.headings) for c in chunks],
            [json.dumps(dict(c.metadata), ensure_ascii=False, sort_keys=True) for c in chunks],
            [c.source for c in chunks],
            [c.doc_hash for c in chunks],
            [row_hash(c.encoded_text, c.given) if c.given else text_hash(c.encoded_text) for c in chunks],
            [c.context for c in chunks],
        ],
        schema=CHUNK_SCHEMA,
    )


def table_to_chunks(table: pa.Table) -> list[Chunk]:
    """The chunks of a table of `CHUNK_SCHEMA`, with or without its column `context`."""
    return [
        Chunk(
            chunk_id=row["chunk_id"],
            doc_id=row["doc_id"],
            ordinal=row["ordinal"],
            start=row["start"],
            end=row["end"],
            text=row["text"],
            headings=tuple(row["headings"]),
            metadata=json.loads(row["metadata"]),
            doc_hash=row["doc_hash"],
            source=row["source"],
            context=row.get("context", ""),
        )
        for row in table.to_pylist()
    ]


def sparse_to_table(rows: SparseRows) -> pa.Table:
    """Sparse rows as a table of `LEXICAL_SCHEMA`."""
    offsets = pa.array(rows.indptr.astype("int32"))
    return pa.table(
        [
            pa.ListArray.from_arrays(offsets, pa.array(rows.token_ids)),
            pa.ListArray.from_arrays(offsets, pa.array(rows.weights)),
        ],
        schema=LEXICAL_SCHEMA,
    )


def table_to_sparse(table: pa.Table) -> SparseRows:
    """The sparse rows of a table of `LEXICAL_SCHEMA`."""
    parts = [_batch_to_sparse(batch) for batch in table.to_batches()]
    return SparseRows.concatenate(parts)


def _batch_to_sparse(batch: pa.RecordBatch) -> SparseRows:
    ids, weights = batch.column("token_ids"), batch.column("weights")
    offsets = as_array(ids.offsets).astype("int64")
    return SparseRows(offsets - offsets[0], as_array(ids.flatten()), as_array(weights.flatten()))
