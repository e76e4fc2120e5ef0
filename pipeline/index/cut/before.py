"""What an ingest has cut that did not end, or whose chunks still wait to be encoded: the next one takes it over.

A document is known by its id, content hash and file, as in the live generation. It is taken as a whole or not at
all: the first of a part without the one before it may lack its beginning, the last of the last part its end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.index.chunks import read_blocks
from pipeline.index.cut.parts import PART_GROUP_ROWS
from pipeline.index.cut.stretches import KEY_COLUMNS, Stretch, find_looks, find_stretches, no_documents
from pipeline.index.live import DocumentKeys, SourceContents, contents_of
from pipeline.index.schemas import CHUNK_SCHEMA, as_array, rows_array
from pipeline.records import Fingerprint

log = logging.getLogger(__name__)

_OPEN_PARTS = 2

TableRows = tuple[pa.Table, int, int]
"""A table of `CHUNK_SCHEMA`, and between which of its rows a document's chunks are."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CutRows:
    """A document that was cut before."""

    doc_id: str
    content_hash: str
    rows: TableRows


class CutBefore:
    """The documents that were cut before, by the same chunker. Memory: their ids and some 60 bytes each."""

    def __init__(self, index: Path, chunker: Fingerprint) -> None:
        """Find what stands in the staging area of `index`, and remove there what is of no use.

        Only the holder of the writer's lock may do so.
        """
        kept = _that_add(find_stretches(index, chunker))
        self.looks = find_looks(index, chunker) if kept else []
        """Tables of what source files looked like, as they were kept."""
        self._paths = [path for one in kept for path in one.paths]
        self._borders = np.cumsum([0, *(rows for one in kept for rows in one.part_rows)])
        self._part = lru_cache(_OPEN_PARTS)(_read)
        keys = np.concatenate([np.zeros((0, 2), np.uint64), *(one.keys for one in kept)])
        once = _first_of_each(keys)
        first_rows = np.cumsum([0, *(one.rows for one in kept)]).tolist()
        self._starts = _joined([one.starts + first for one, first in zip(kept, first_rows, strict=False)])[once]
        self._stops = _joined([one.stops + first for one, first in zip(kept, first_rows, strict=False)])[once]
        self._stretch = np.repeat(np.arange(len(kept)), [len(one.keys) for one in kept])[once]
        tables = [no_documents(), *(one.documents for one in kept)]
        self._documents = pa.concat_tables(tables).combine_chunks().take(rows_array(once))
        self._order = np.argsort(keys[once, 0], kind="stable")
        self.keys = DocumentKeys(keys[once][self._order])
        """Which documents they are."""
        if len(self):
            log.info("%s: %d documents are cut already, by an ingest before this one", index, len(self))

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, doc_id: str, content_hash: str, source: str) -> TableRows | None:
        """The chunks of a document; `None` if it is unknown. Raises `CorruptIndexError`."""
        place = self.keys.place(doc_id, content_hash, source)
        return None if place is None else self._rows(int(self._order[place]))

    def by_source(self) -> dict[str, SourceContents]:
        """What is cut of each source file, as far as the order in which it stands there is known."""
        names, codes, order = self._by_source
        contents = contents_of(self._documents, names, codes)
        grouped, stretch = codes[order], self._stretch[order]
        several = set(grouped[1:][(grouped[1:] == grouped[:-1]) & (stretch[1:] != stretch[:-1])].tolist())
        return {name: contents[name] for code, name in enumerate(names) if code not in several}

    def of_source(self, source: str) -> Iterator[CutRows]:
        """The documents of a source file, in their order. Raises `CorruptIndexError`."""
        names, codes, order = self._by_source
        code = self._codes.get(source, len(names))
        first, last = np.searchsorted(codes[order], [code, code + 1])
        for number in order[first:last].tolist():
            doc_id, content_hash = (self._documents.column(name)[number].as_py() for name in KEY_COLUMNS[:2])
            yield CutRows(doc_id, content_hash, self._rows(number))

    @cached_property
    def _by_source(self) -> tuple[list[str], npt.NDArray[np.int32], Numbers]:
        """The source files, which of them each document is of, and the documents sorted by that."""
        encoded = pa.concat_arrays(self._documents.column("source").chunks).dictionary_encode()
        codes = as_array(encoded.indices)
        return encoded.dictionary.to_pylist(), codes, np.argsort(codes, kind="stable")

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self._by_source[0])}

    def _rows(self, number: int) -> TableRows:
        start, stop = int(self._starts[number]), int(self._stops[number])
        first, last = (np.searchsorted(self._borders, [start, stop - 1], "right") - 1).tolist()
        offset = int(self._borders[first])
        if first == last:
            return self._part(self._paths[first]), start - offset, stop - offset
        table = pa.concat_tables([self._part(path) for path in self._paths[first : last + 1]])
        return table.slice(start - offset, stop - start).combine_chunks(), 0, stop - start


def _that_add(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Those that have documents which no larger one has; the others are removed."""
    kept: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda one: -one.rows):
        known = np.concatenate([np.zeros(0, np.uint64), *(one.keys[:, 0] for one in kept)])
        if np.isin(stretch.keys[:, 0], known).all():
            stretch.remove()
        else:
            kept.append(stretch)
    return kept


def _first_of_each(keys: npt.NDArray[np.uint64]) -> Numbers:
    """The rows of keys that no row before has, ascending."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    is_new = np.ones(len(keys), np.bool_)
    is_new[1:] = (keys[order][1:] != keys[order][:-1]).any(axis=1)
    return np.sort(order[is_new])


def _joined(rows: Sequence[Numbers]) -> Numbers:
    return np.concatenate([np.zeros(0, np.int64), *rows])


def _read(path: Path) -> pa.Table:
    return pa.concat_tables(read_blocks(path, CHUNK_SCHEMA, PART_GROUP_ROWS)).combine_chunks()
