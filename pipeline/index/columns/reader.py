"""The columns of one segment, opened: codes of its chunks and the dictionaries that they point into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.columns.derive import COLUMNS_FILE, VERSION
from pipeline.index.columns.kinds import CHUNK_COLUMNS, TYPES, Kind, stored_type
from pipeline.index.schemas import as_array

Codes = npt.NDArray[np.unsignedinteger[Any]]

_MEND = "`pipeline repair` rebuilds it"
_CODES = (pa.uint8(), pa.uint16(), pa.uint32())
_KINDS = {stored_type(kind): kind for kind in Kind if kind is not Kind.NOTHING}


class SegmentColumns:
    """Columns of a segment's chunks by name; each is checked when it is first used.

    A column is a dictionary, whose entry 0 stands for chunks without a value, and a code for each chunk.
    """

    def __init__(self, batch: pa.RecordBatch, origin: Path) -> None:
        """Use `open_columns`, or columns that were just made. `origin`: the file that errors name."""
        self._batch, self._origin = batch, origin
        self._columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        self._checked: set[str] = set()

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return int(self._batch.num_rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Every column: those that all chunks have, then the metadata keys by their lower case."""
        return tuple(self._columns)

    def kind(self, name: str) -> Kind:
        """The kind of a column's values in this segment."""
        if name == CHUNK_COLUMNS[0]:
            return Kind.TEXT
        dictionary = _dictionary_array(self._columns[name]).dictionary
        return _KINDS[dictionary.type] if len(dictionary) > 1 else Kind.NOTHING

    def entries(self, name: str) -> int:
        """Number of entries of a column's dictionary."""
        if name == CHUNK_COLUMNS[0]:
            return self.chunks + 1
        return len(_dictionary_array(self._columns[name]).dictionary)

    def codes(self, name: str) -> Codes:
        """The code of each chunk: an entry of the dictionary. Raises `CorruptIndexError`."""
        column = self._sound(name)
        if name == CHUNK_COLUMNS[0]:
            return np.arange(1, self.chunks + 1, dtype=np.uint32)
        codes: Codes = as_array(_dictionary_array(column).indices)
        if not pa.types.is_run_end_encoded(column.type):
            return codes
        repeated: Codes = np.repeat(codes, np.diff(as_array(column.run_ends), prepend=0))
        return repeated

    def dictionary(self, name: str, kind: Kind) -> pa.Array:
        """The entries as values of `kind`, which is this segment's or wider, the first one null.

        Raises `CorruptIndexError`.
        """
        column = self._sound(name)
        if name == CHUNK_COLUMNS[0]:
            return pa.concat_arrays([pa.nulls(1, column.type), column])
        entries = _dictionary_array(column).dictionary
        own = self.kind(name)
        if own is Kind.NOTHING:
            return pa.nulls(1, TYPES[kind])
        if own is Kind.TEXT:
            return entries
        if kind is Kind.TEXT:
            return entries.field("text")
        values = entries.field("value")
        return _as_numbers(values) if (own, kind) == (Kind.INT, Kind.FLOAT) else values

    def _sound(self, name: str) -> pa.Array:
        """The column, seen once to hold what its type promises: offsets would be followed anywhere."""
        column = self._columns[name]
        if name not in self._checked:
            try:
                column.validate(full=True)
            except pa.ArrowException as error:
                raise files.damage(error, f"{self._origin}: invalid column {name!r} ({error}); {_MEND}") from None
            if not _is_sound(column, name):
                raise CorruptIndexError(f"{self._origin}: malformed column {name!r}; {_MEND}")
            self._checked.add(name)
        return column


def open_columns(folder: Path, chunks: int) -> SegmentColumns:
    """Map the columns of a segment. Raises `CorruptIndexError`, also for a file of another version."""
    path = folder / COLUMNS_FILE
    try:
        with pa.memory_map(str(path)) as mapped:
            reader = pa.ipc.open_file(mapped.read_buffer())
            found = reader.get_batch(0) if reader.num_record_batches == 1 else None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise files.damage(error, f"{path}: cannot be read ({error}); {_MEND}") from None
    version = {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in (reader.schema.metadata or {}).items()
    }
    if version != VERSION:
        raise CorruptIndexError(f"{path}: written by another version ({version or 'none'}); {_MEND}")
    if found is None or found.num_rows != chunks:
        raise CorruptIndexError(f"{path}: does not hold {chunks} chunks; {_MEND}")
    if not _has_columns(found.schema):
        raise CorruptIndexError(f"{path}: has columns of unexpected names or types; {_MEND}")
    return SegmentColumns(found, path)


def _dictionary_array(column: pa.Array) -> pa.DictionaryArray:
    return column.values if pa.types.is_run_end_encoded(column.type) else column


def _has_columns(schema: pa.Schema) -> bool:
    names = schema.names
    if tuple(names[: len(CHUNK_COLUMNS)]) != CHUNK_COLUMNS or len({name.lower() for name in names}) < len(names):
        return False
    if schema.field(0).type != pa.large_string():
        return False
    for field in list(schema)[1:]:
        kind = field.type.value_type if pa.types.is_run_end_encoded(field.type) else field.type
        if not pa.types.is_dictionary(kind) or kind.index_type not in _CODES or kind.value_type not in _KINDS:
            return False
    return True


def _is_sound(column: pa.Array, name: str) -> bool:
    if name == CHUNK_COLUMNS[0]:
        return bool(column.null_count == 0)
    values = _dictionary_array(column)
    entries = values.dictionary
    parts = [entries]
    if pa.types.is_struct(entries.type):
        parts += [entries.field("value"), entries.field("text")]
    if pa.types.is_run_end_encoded(column.type):
        ends = as_array(column.run_ends)
        if column.offset or len(column.values) != len(ends) or (len(ends) and int(ends[-1]) != len(column)):
            return False
    return (
        values.indices.null_count == 0
        and len(entries) > 0
        and all(part.null_count == 1 and not part[0].is_valid for part in parts)
        and not (parts[1:] and pa.types.is_large_list(parts[1].type) and parts[1].values.null_count)
    )


def _as_numbers(values: pa.Array) -> pa.Array:
    """Whole numbers as others. Arrow's own cast would import all its functions: slow cold starts."""
    numbers = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values)]
    data = numbers.astype(np.float64)
    valid = np.packbits(np.arange(len(data)) > 0, bitorder="little")
    return pa.Array.from_buffers(pa.float64(), len(data), [pa.py_buffer(valid), pa.py_buffer(data)])
