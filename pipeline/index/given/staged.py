"""Given vectors beside the texts they belong to: a row a text, in a Parquet file named after that of the texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.given import GivenVectors, Wanted, row_hash
from pipeline.index.chunks import read_blocks, write_table
from pipeline.records import Chunk, Encoded, MultiVectors, SparseRows

GIVEN_SCHEMA = pa.schema(
    [
        pa.field("text_hash", pa.binary(16), nullable=False),
        pa.field("dense", pa.large_binary(), nullable=False),
        pa.field("token_ids", pa.large_binary(), nullable=False),
        pa.field("weights", pa.large_binary(), nullable=False),
        pa.field("multivectors", pa.large_binary(), nullable=False),
    ]
)
"""`text_hash`: of the text and all that is given with it; the others are the fields of `GivenVectors`."""

_ROWS = 4096


def given_file(texts: Path) -> Path:
    """Where the vectors of a file of texts stand, if they are given."""
    return texts.with_name(f"{texts.stem}.given.parquet")


def write_given(texts: Path, chunks: Sequence[Chunk]) -> Path | None:
    """Write the vectors of chunks beside the file of their texts; `None` if they have none."""
    rows = [(row_hash(chunk.encoded_text, chunk.given), chunk.given) for chunk in chunks if chunk.given is not None]
    if not rows:
        return None
    columns: list[list[bytes]] = [
        [hashed for hashed, _ in rows],
        [vectors.dense for _, vectors in rows],
        [vectors.token_ids for _, vectors in rows],
        [vectors.weights for _, vectors in rows],
        [vectors.multivectors for _, vectors in rows],
    ]
    path = given_file(texts)
    write_table(path, [pa.table(columns, schema=GIVEN_SCHEMA)], GIVEN_SCHEMA, group_rows=_ROWS)
    return path


def take_given(texts: Path, rows: npt.NDArray[np.int64], into: Path) -> None:
    """Write some rows of the vectors beside `texts` beside `into`; nothing where none are given."""
    source = given_file(texts)
    if source.exists():
        write_table(given_file(into), [_read(source).take(rows)], GIVEN_SCHEMA, group_rows=_ROWS)


def hashes_of(texts: Path) -> npt.NDArray[np.bytes_]:
    """The hashes of the rows beside a file of texts: S16 (n,). Raises `CorruptIndexError`."""
    return np.array(_read(given_file(texts)).column("text_hash").to_pylist(), "S16")


def read_given(texts: Path, wanted: Wanted, rows: Sequence[int] | None = None) -> Encoded:
    """The vectors of a file of texts, or of some of its rows, as of an encoder. Raises `CorruptIndexError`."""
    path = given_file(texts)
    table = _read(path)
    if rows is not None:
        table = table.take(pa.array(rows, pa.int64()))
    given = [GivenVectors(*row.values()) for row in table.drop_columns(["text_hash"]).to_pylist()]
    try:
        dense = np.frombuffer(b"".join(one.dense for one in given), "<f4").reshape(len(given), wanted.dimension)
        return Encoded(
            dense,
            _sparse(given) if wanted.lexical else None,
            None if wanted.token_dimension is None else _multivectors(given, wanted.token_dimension),
        )
    except ValueError as error:
        raise CorruptIndexError(f"{path}: does not fit what is wanted ({error}); `pipeline ingest` again") from None


def _sparse(given: Sequence[GivenVectors]) -> SparseRows:
    ids = np.frombuffer(b"".join(one.token_ids for one in given), "<u8")
    weights = np.frombuffer(b"".join(one.weights for one in given), "<f4")
    indptr = np.cumsum([0, *(len(one.weights) // 4 for one in given)], dtype=np.int64)
    if len(ids) != len(weights):
        raise ValueError(f"{len(ids)} token ids and {len(weights)} weights")
    return SparseRows(indptr, ids, weights)


def _multivectors(given: Sequence[GivenVectors], dimension: int) -> MultiVectors:
    vectors = np.frombuffer(b"".join(one.multivectors for one in given), "<f4").reshape(-1, dimension)
    offsets = np.cumsum([0, *(len(one.multivectors) // (4 * dimension) for one in given)], dtype=np.int64)
    return MultiVectors(offsets, vectors)


def _read(path: Path) -> pa.Table:
    return pa.concat_tables([GIVEN_SCHEMA.empty_table(), *read_blocks(path, GIVEN_SCHEMA, _ROWS)])
