"""Facet counts: how many chunks and documents have each value of a field, out of the columns that filters read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import QueryError
from pipeline.index.columns.kinds import Kind
from pipeline.index.schemas import as_array
from pipeline.index.segment import Mask
from pipeline.query.filter.facet_request import FacetRequest
from pipeline.query.filter.table import Column, ColumnTable, Numbers, Ordinals
from pipeline.query.fusion.methods import unknown
from pipeline.records import Facet, FacetValue


class FacetCounter:
    """Counts values over the chunks of a snapshot."""

    def __init__(self, table: ColumnTable, deleted: Sequence[Mask | None], documents: int) -> None:
        """`deleted`: for each segment, the chunks that are gone. `documents`: how many live ones there are."""
        self._table = table
        self._documents = _numbered(table, deleted, documents)
        self._count = max((int(numbers.max(initial=-1)) + 1 for numbers in self._documents), default=0)

    def facets(self, request: FacetRequest, excluded: Sequence[Mask | None]) -> list[Facet]:
        """Count each field over the chunks that are not excluded. Raises `QueryError` for an unknown field."""
        columns = [self._column(field) for field in request.fields]
        kept = [None if mask is None else ~mask for mask in excluded]
        documents = [
            numbers[_kept(segment.codes("doc_id"), mask)]
            for segment, numbers, mask in zip(self._table.segments, self._documents, kept, strict=True)
        ]
        return [self._facet(column, request.limit, kept, documents) for column in columns]

    def _column(self, field: str) -> Column:
        column = self._table.column(field)
        if column is None:
            raise QueryError(f"facet: {unknown('field', field, self._table.names)}")
        return column

    def _facet(
        self, column: Column, limit: int | None, kept: Sequence[Mask | None], documents: Sequence[Ordinals]
    ) -> Facet:
        values = _Values()
        missing = 0
        parts: list[_Part] = []
        for segment, name, mask, docs in zip(self._table.segments, column.spellings, kept, documents, strict=True):
            if name is None:
                missing += len(docs)
                continue
            codes = _kept(segment.codes(name), mask)
            chunks = np.bincount(codes, minlength=segment.entries(name))
            members = _Members(values, segment.dictionary(name, column.kind), chunks > 0)
            missing += int(chunks[members.sizes == 0].sum())
            parts.append(_Part(members, chunks, *_runs(codes, docs)))
        per_chunk = np.zeros(len(values), np.int64)
        for part in parts:
            np.add.at(per_chunk, *part.members.expanded(np.arange(len(part.chunks)), part.chunks))
        per_document = _documents(parts, len(values), self._count)
        found = [
            FacetValue(value, int(per_chunk[number]), int(per_document[number]))
            for number, value in enumerate(values.listed)
        ]
        found.sort(key=lambda one: (-one.chunks, one.value != one.value, one.value))
        return Facet(column.name, tuple(found[:limit]), len(found), missing)


class _Values:
    """Numbers for the values that occur in any segment."""

    def __init__(self) -> None:
        self.listed: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.listed)

    def number(self, value: Any) -> int:
        """The number of a value, a new one if it is new. NaN is one value, though it equals nothing."""
        key = value if value == value else "NaN"
        number = self._numbers.setdefault(key, len(self.listed))
        if number == len(self.listed):
            self.listed.append(value)
        return number


class _Members:
    """For each entry of a dictionary that occurs, the numbers of its values: its elements, if it is a list."""

    def __init__(self, values: _Values, entries: pa.Array, occur: Mask) -> None:
        numbers: list[int] = []
        self.sizes = np.zeros(len(entries), np.int64)
        codes = np.flatnonzero(occur).tolist()
        are_most = 4 * len(codes) > len(entries)
        held = entries.to_pylist() if are_most else {code: entries[code].as_py() for code in codes}
        for code in codes:
            value = held[code]
            members = [] if value is None else dict.fromkeys(value) if isinstance(value, list) else [value]
            numbers += [values.number(member) for member in members]
            self.sizes[code] = len(members)
        self._numbers = np.array(numbers, np.int64)
        self._starts = np.cumsum(self.sizes) - self.sizes

    def expanded(self, codes: Numbers, beside: Ordinals) -> tuple[Ordinals, Ordinals]:
        """The numbers of the values of each code, and for each of them what stands beside the code."""
        sizes = self.sizes[codes]
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self._starts[codes] - (ends - sizes), sizes)
        return self._numbers[places], np.repeat(beside, sizes)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is counted in one segment. `chunks`: of each code. `codes` and `documents`: the pairs of `_runs`."""

    members: _Members
    chunks: Ordinals
    codes: Numbers
    documents: Ordinals


def _kept(codes: Numbers, mask: Mask | None) -> Numbers:
    kept: Numbers = codes if mask is None else codes[mask]
    return kept


def _runs(codes: Numbers, documents: Ordinals) -> tuple[Numbers, Ordinals]:
    """Pairs of code and document, once where the same pair follows: chunks of a document stand together."""
    fresh = np.ones(len(codes), np.bool_)
    fresh[1:] = (codes[1:] != codes[:-1]) | (documents[1:] != documents[:-1])
    return codes[fresh], documents[fresh]


def _documents(parts: Sequence[_Part], values: int, documents: int) -> Ordinals:
    """How many documents have each value.

    Nearly all documents come once, as metadata is that of the whole document; the pairs of the others are compared.
    """
    times = np.zeros(documents, np.int64)
    for part in parts:
        times += np.bincount(part.documents, minlength=documents)
    counts = np.zeros(values, np.int64)
    pairs = [np.zeros(0, np.int64)]
    for part in parts:
        alone = times[part.documents] == 1
        per_code = np.bincount(part.codes[alone], minlength=len(part.chunks))
        np.add.at(counts, *part.members.expanded(np.arange(len(per_code)), per_code))
        numbers, others = part.members.expanded(part.codes[~alone], part.documents[~alone])
        pairs.append(numbers * documents + others)
    counts += np.bincount(np.unique(np.concatenate(pairs)) // max(documents, 1), minlength=values)
    return counts


def _numbered(table: ColumnTable, deleted: Sequence[Mask | None], documents: int) -> list[Ordinals]:
    """For each segment the number of the document of each code; none for chunks without one, which do not exist.

    A document that ends in another segment than it begins in has one number. Where the segments' live documents add
    up, there is none.
    """
    sizes = [segment.entries("doc_id") - 1 for segment in table.segments]
    ends = np.cumsum(sizes)
    live = 0
    for segment, size, gone in zip(table.segments, sizes, deleted, strict=True):
        occurs = np.zeros(size + 1, np.bool_)
        occurs[_kept(segment.codes("doc_id"), None if gone is None else ~gone).astype(np.intp)] = True
        live += int(occurs.sum())
    numbers = np.arange(sum(sizes))
    if live != documents and len(sizes) > 1:
        entries = [segment.dictionary("doc_id", Kind.TEXT).slice(1) for segment in table.segments]
        numbers = as_array(pa.concat_arrays(entries).dictionary_encode().indices).astype(np.int64)
    return [np.concatenate([[-1], part]) for part in np.split(numbers, ends[:-1])]
