"""The chunk columns of a segment: Parquet, the durable form. Hits are read from what follows from it (`rows/`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.forking import shared_property
from pipeline.index import files
from pipeline.index.schemas import LEXICAL_SCHEMA, are_chunks, table_to_chunks, with_context
from pipeline.records import Chunk, in_context

if TYPE_CHECKING:
    import pyarrow.parquet as pq

CHUNKS_FILE = "chunks.parquet"
LEXICAL_FILE = "lexical.parquet"
_GROUP_ROWS = 256
_CACHED_GROUPS = 64


def write_table(
    path: Path | pa.NativeFile, tables: Iterable[pa.Table], schema: pa.Schema, group_rows: int = _GROUP_ROWS
) -> int:
    """Write tables of one schema as one Parquet file, or into a stream; returns the number of rows."""
    import pyarrow.parquet as pq  # where it is needed: a cold query does without it

    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=group_rows)
            rows += table.num_rows
    return rows


def read_blocks(path: Path, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """A Parquet file of exactly `schema` in blocks of at most `rows`. Raises `CorruptIndexError`."""
    yield from _blocks(path, schema.equals, rows)


def column_blocks(path: Path, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """Some columns of a file of chunks, in blocks of at most `rows`. Raises `CorruptIndexError`."""
    yield from _blocks(path, are_chunks, rows, columns)


def _blocks(
    path: Path, is_expected: Callable[[pa.Schema], bool], rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if not is_expected(file.schema_arrow):
                raise CorruptIndexError(f"{path}: unexpected columns; rebuild with `pipeline build --full`")
            for batch in file.iter_batches(batch_size=rows, columns=columns):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise files.damage(
            error, f"{path}: cannot be read ({error}); rebuild with `pipeline build --full`"
        ) from None


def chunk_blocks(path: Path, rows: int) -> Iterator[pa.Table]:
    """A file of chunks as tables of `CHUNK_SCHEMA` of at most `rows`. Raises `CorruptIndexError`.

    Chunks of a file that was written before they had a context have an empty one.
    """
    for table in _blocks(path, are_chunks, rows):
        yield with_context(table)


def encoded_texts(path: Path) -> list[str]:
    """What is encoded of each chunk of a file of texts: its context and its text. Raises as Arrow does."""
    import pyarrow.parquet as pq

    table = with_context(pq.read_table(path, columns=text_columns(path)))
    pairs = zip(table.column("context").to_pylist(), table.column("text").to_pylist(), strict=True)
    return [in_context(context, text) for context, text in pairs]


def text_columns(path: Path) -> list[str]:
    """The columns of a file of chunks or texts that say what is encoded."""
    import pyarrow.parquet as pq

    return [name for name in ("context", "text") if name in pq.read_schema(path).names]


def lexical_blocks(folder: Path, rows: int = 16_384) -> Iterator[pa.Table]:
    """The durable lexical rows of a segment or shard folder, in blocks."""
    return read_blocks(folder / LEXICAL_FILE, LEXICAL_SCHEMA, rows)


class ChunkStore:
    """Random access to chunks by ordinal, for any number of threads.

    A Parquet reader serves one thread, so every read has one of its own; they share the mapped file and its footer.
    """

    def __init__(self, folder: Path, chunks: int) -> None:
        """Open a segment's chunk file. Raises `CorruptIndexError`."""
        import pyarrow.parquet as pq

        self.path = folder / CHUNKS_FILE
        try:
            with pa.memory_map(str(self.path)) as mapped:
                self._data = mapped.read_buffer()
            file = pq.ParquetFile(pa.BufferReader(self._data))
        except (pa.ArrowException, OSError) as error:
            raise files.damage(error, f"{self.path}: cannot be read ({error})") from None
        metadata = self._metadata = file.metadata
        if metadata.num_rows != chunks or not are_chunks(file.schema_arrow):
            raise CorruptIndexError(f"{self.path}: {metadata.num_rows} rows where the manifest says {chunks}")
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])
        if min(sizes, default=0) < 0 or self._starts[-1] != chunks:
            raise CorruptIndexError(f"{self.path}: row groups of {sizes} rows where the manifest says {chunks}")
        self._group = lru_cache(_CACHED_GROUPS)(self._read_group)

    def _reader(self) -> pq.ParquetFile:
        import pyarrow.parquet as pq

        return pq.ParquetFile(pa.BufferReader(self._data), metadata=self._metadata, pre_buffer=False)

    def _read_group(self, group: int) -> pa.Table:
        try:
            table = self._reader().read_row_group(group, use_threads=False)
            table.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            raise files.damage(error, f"{self.path}: row group {group} cannot be read ({error})") from None
        if table.num_rows != self._starts[group + 1] - self._starts[group]:
            raise CorruptIndexError(f"{self.path}: row group {group} has {table.num_rows} rows")
        return table

    def fetch(self, ordinals: Iterable[int]) -> list[Chunk]:
        """The chunks at these ordinals of the segment, in the order asked for."""
        result = []
        for ordinal in ordinals:
            group = int(np.searchsorted(self._starts, ordinal, side="right")) - 1
            row = self._group(group).slice(ordinal - int(self._starts[group]), 1)
            try:
                result.extend(table_to_chunks(row))
            except (ValueError, TypeError) as error:
                raise CorruptIndexError(f"{self.path}: chunk {ordinal} is malformed ({error})") from None
        return result

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Whole columns in chunk order, none of them with a null. Raises `CorruptIndexError`."""
        try:
            table = self._reader().read(columns=list(names))
            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise files.damage(error, f"{self.path}: cannot be read ({error})") from None
        if table.num_rows != self._starts[-1] or any(column.null_count for column in table.columns):
            raise CorruptIndexError(f"{self.path}: {table.num_rows} rows, or null values")
        return table

    def column(self, name: str) -> npt.NDArray[Any]:
        """A whole column in chunk order, an object array: for work on all chunks, as it takes that much memory."""
        try:
            return np.array(self._read_column(name).to_pylist(), dtype=object)
        except ValueError as error:
            raise CorruptIndexError(f"{self.path}: column {name} cannot be read ({error})") from None

    def _read_column(self, name: str) -> pa.ChunkedArray:
        try:
            column = self._reader().read(columns=[name], use_threads=False).column(name)
            column.validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise files.damage(error, f"{self.path}: column {name} cannot be read ({error})") from None
        if len(column) != self._starts[-1] or column.null_count:
            raise CorruptIndexError(f"{self.path}: column {name} has {len(column)} values, or null ones")
        return column

    def chunk_ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of the chunks in these rows. The first call reads and keeps those of all."""
        return [self._chunk_ids[row].as_py() for row in rows]

    def doc_ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of their documents, likewise."""
        return [self._doc_ids[row].as_py() for row in rows]

    def rows_of(self, doc_id: str) -> npt.NDArray[np.int64]:
        """The rows of a document's chunks, ascending; none if it has none here."""
        import pyarrow.compute as pc  # where it is needed: it costs a cold query 50 ms

        wanted = pa.scalar(doc_id.encode("utf-8", "surrogatepass"), pa.binary())
        doc_ids = self._read_column("doc_id").cast(pa.binary())
        return np.asarray(pc.indices_nonzero(pc.equal(doc_ids, wanted)), np.int64)

    @shared_property
    def _chunk_ids(self) -> pa.ChunkedArray:
        return self._read_column("chunk_id")

    @shared_property
    def _doc_ids(self) -> pa.ChunkedArray:
        return self._read_column("doc_id")
