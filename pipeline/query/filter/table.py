"""The columns of all segments as one table, and the combinations of values that chunks have in some of them.

A condition that is given the same values answers the same, so it is asked once for each combination.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.index.columns.kinds import CHUNK_COLUMNS, TYPES, Kind, common
from pipeline.index.columns.reader import SegmentColumns
from pipeline.index.segment import Mask
from pipeline.query.filter.conditions import ROW

Ordinals = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.integer[Any]]

_PLACES_PER_CHUNK = 8
_FEWEST_PLACES = 65_536
_DECODED = 262_144
"""Entries of a dictionary times groups of rows up to which DuckDB decodes it: it does so for every group anew."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table. `spellings`: what it is called in each segment, `None` where it is not there."""

    name: str
    kind: Kind
    spellings: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Grouping:
    """The combinations of codes that a segment's chunks have.

    `numbers`: of the combination of each chunk, `None` where every chunk is one of its own. `places`: one more than
    the largest number. `found`: the numbers that occur, ascending. `codes`: of each column, for each of `found`.
    `among`: the chunks that all this is about, `None` for all of the segment.
    """

    numbers: Numbers | None
    places: int
    found: Ordinals
    codes: list[Numbers]
    among: Mask | None = None

    def mask(self, satisfied: Mask) -> Mask:
        """Which chunks have a combination that satisfies; `satisfied`: for each of `found`."""
        if self.among is None:
            return self._own(satisfied)
        whole = np.zeros(len(self.among), np.bool_)
        whole[self.among] = self._own(satisfied)
        return whole

    def _own(self, satisfied: Mask) -> Mask:
        if self.numbers is None:
            return satisfied
        table = np.zeros(self.places, np.bool_)
        table[self.found[satisfied]] = True
        return table.take(self.numbers)


@dataclass(frozen=True, slots=True)
class Combinations:
    """Combinations of values, segment by segment. `table`: a row each, numbered by the column `__row`."""

    table: pa.Table
    groupings: tuple[_Grouping, ...]

    def masks(self, rows: Ordinals) -> list[Mask]:
        """For each segment, which chunks have a combination among these rows of the table."""
        satisfied = np.zeros(len(self.table), np.bool_)
        satisfied[rows] = True
        ends = np.cumsum([len(grouping.found) for grouping in self.groupings])
        parts = np.split(satisfied, ends[:-1])
        return [grouping.mask(part) for grouping, part in zip(self.groupings, parts, strict=True)]


class ColumnTable:
    """The columns of a snapshot's segments, typed by the values of all of them."""

    def __init__(self, segments: Sequence[SegmentColumns], among: Sequence[Mask] | None = None) -> None:
        """`among`: for each segment, the chunks that a reader may know of. Conditions are asked of their values
        alone, as an error could tell of others, and a key that none of them has is no column."""
        self.segments = tuple(segments)
        self._among = among
        places: dict[str, list[str | None]] = {name: [] for name in CHUNK_COLUMNS}
        for number, segment in enumerate(self.segments):
            for name in self._known(number, segment):
                found = places.setdefault(name.lower(), [])
                found += [None] * (number - len(found)) + [name]
        metadata = sorted(name for name in places if name not in CHUNK_COLUMNS and name != ROW)
        self._columns = {name: self._column(places[name]) for name in [*CHUNK_COLUMNS, *metadata]}

    def _known(self, number: int, segment: SegmentColumns) -> list[str]:
        if self._among is None:
            return list(segment.names)
        mask = self._among[number]
        return [name for name in segment.names if name in CHUNK_COLUMNS or segment.codes(name)[mask].any()]

    def _column(self, places: Sequence[str | None]) -> Column:
        spellings = (*places, *[None] * (len(self.segments) - len(places)))
        pairs = zip(self.segments, spellings, strict=True)
        kinds = [segment.kind(name) for segment, name in pairs if name is not None]
        return Column(max(filter(None, spellings)), common(kinds), spellings)

    @property
    def names(self) -> list[str]:
        """What the columns are called: those that all chunks have, then the metadata keys."""
        return [column.name for column in self._columns.values()]

    def column(self, name: str) -> Column | None:
        """The column of this name, in any case."""
        return self._columns.get(name.lower())

    def entries(self, column: Column) -> int:
        """How many values a column has, none included, in the segment where it has most."""
        pairs = zip(self.segments, column.spellings, strict=True)
        return max((segment.entries(name) for segment, name in pairs if name is not None), default=1)

    def combinations(self, columns: Sequence[Column], group_rows: int) -> Combinations:
        """The combinations of values in these columns, in groups of so many rows. Raises `CorruptIndexError`."""
        groupings = tuple(self._grouping(number, columns) for number in range(len(self.segments)))
        total = sum(len(grouping.found) for grouping in groupings)
        arrays = [self._values(i, column, groupings, -(-total // group_rows)) for i, column in enumerate(columns)]
        arrays.append(_chunked([_indices(np.arange(total))], pa.int64()))
        whole = pa.Table.from_arrays(arrays, [*(column.name for column in columns), ROW])
        table = pa.Table.from_batches(whole.to_batches(max_chunksize=group_rows), whole.schema)
        return Combinations(table, groupings)

    def _grouping(self, number: int, columns: Sequence[Column]) -> _Grouping:
        segment = self.segments[number]
        spelled = [column.spellings[number] for column in columns]
        codes = [None if name is None else segment.codes(name) for name in spelled]
        sizes = [1 if name is None else segment.entries(name) for name in spelled]
        if self._among is None:
            return _grouped(codes, sizes, segment.chunks, True)
        mask = self._among[number]
        kept = [None if one is None else one[mask] for one in codes]
        return dataclasses.replace(_grouped(kept, sizes, int(mask.sum()), False), among=mask)

    def _values(self, i: int, column: Column, groupings: Sequence[_Grouping], groups: int) -> pa.ChunkedArray:
        """The values of a column in every combination, all plain or all by dictionary."""
        kind = TYPES[column.kind]
        parts = []
        for segment, name, grouping in zip(self.segments, column.spellings, groupings, strict=True):
            entries = pa.nulls(1, kind) if name is None else segment.dictionary(name, column.kind)
            parts.append((entries, grouping.codes[i]))
        pieces = [_slice(entries, codes) for entries, codes in parts]
        whole = [piece for piece in pieces if piece is not None]
        if len(whole) == len(pieces):
            return _chunked(whole, kind)
        if self._among is None and sum(len(entries) for entries, _ in parts) * groups <= _DECODED:
            encoded = [
                pa.DictionaryArray.from_arrays(_indices(codes.astype(np.uint32)), entries)
                for entries, codes in parts
            ]
            return _chunked(encoded, pa.dictionary(pa.uint32(), kind))
        return _chunked([entries.take(_indices(codes)) for entries, codes in parts], kind)


def _grouped(
    codes: Sequence[Numbers | None], sizes: Sequence[int], chunks: int, has_all_entries: bool
) -> _Grouping:
    """Number the combinations of codes, a digit a column; renumber those that occur where too many could.

    `has_all_entries`: whether every entry of a dictionary occurs among the codes, but for the first one maybe.
    """
    most = max(_PLACES_PER_CHUNK * chunks, _FEWEST_PLACES)
    numbers, places = None, 1
    earlier: list[tuple[int, Ordinals | None]] = []
    for column, size in zip(codes, sizes, strict=True):
        renumbered = None
        if numbers is not None and column is not None:
            if places * size > most:
                renumbered = _occurring(numbers, places)
                numbers, places = _renumbered(numbers, places, renumbered), len(renumbered)
            if places * size > most:
                return _Grouping(None, chunks, np.arange(chunks), [_all(one, chunks) for one in codes])
            wide = np.min_scalar_type(places * size)
            numbers = numbers.astype(wide) * wide.type(size) + column
        elif column is not None:
            numbers = column
        places *= size
        earlier.append((size, renumbered))
    if numbers is None:
        numbers = np.zeros(chunks, np.uint8)
    present = sum(column is not None for column in codes)
    takes_all = present <= 1 and has_all_entries
    found = rest = _entries(numbers, places) if takes_all else _occurring(numbers, places)
    digits = []
    for size, renumbered in reversed(earlier):
        rest, digit = np.divmod(rest, size)
        digits.append(digit)
        if renumbered is not None:
            rest = renumbered[rest]
    return _Grouping(numbers, places, found, digits[::-1])


def _occurring(numbers: Numbers, places: int) -> Ordinals:
    occurs = np.zeros(places, np.bool_)
    occurs[numbers.astype(np.intp, copy=False)] = True
    return np.flatnonzero(occurs)


def _entries(numbers: Numbers, places: int) -> Ordinals:
    """The numbers of one column: every entry of a dictionary occurs, but for the first one maybe."""
    has_first = bool((numbers == 0).any())
    return np.arange(0 if has_first else 1, places)


def _renumbered(numbers: Numbers, places: int, found: Ordinals) -> Numbers:
    table = np.zeros(places, np.int64)
    table[found] = np.arange(len(found))
    return table.take(numbers)


def _all(codes: Numbers | None, chunks: int) -> Numbers:
    return np.zeros(chunks, np.uint8) if codes is None else codes


def _slice(entries: pa.Array, codes: Numbers) -> pa.Array | None:
    """The entries that codes name where they stand in this order, without a copy."""
    if len(codes) == 0:
        return entries.slice(0, 0)
    first, last = int(codes[0]), int(codes[-1])
    if last - first + 1 != len(codes) or not np.array_equal(codes, np.arange(first, last + 1)):
        return None
    return entries.slice(first, len(codes))


def _indices(numbers: Numbers) -> pa.Array:
    """An Arrow array over a NumPy one. `pa.array` would import pandas: slow cold starts."""
    numbers = np.ascontiguousarray(numbers)
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(numbers), [None, pa.py_buffer(numbers)])


def _chunked(arrays: Sequence[pa.Array], kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array(arrays, kind)
