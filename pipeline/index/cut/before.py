"""What an ingest has cut that did not end, or whose chunks still wait to be encoded: the next one takes it over.

A document is known by its id, content hash and file, as in the live generation. It is taken as a whole or not at
all: the first of a part without the one before it may lack its beginning, the last of the last part its end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.index import staging
from pipeline.index.chunks import read_blocks
from pipeline.index.cut.parts import PART_GROUP_ROWS, CutPart, cut_parts
from pipeline.index.live import DocumentKeys, keys_of
from pipeline.index.schemas import CHUNK_SCHEMA, as_array
from pipeline.records import Fingerprint

log = logging.getLogger(__name__)

_KEY_COLUMNS = ["doc_id", "doc_hash", "source"]
_OPEN_PARTS = 2

Rows = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


class CutBefore:
    """The documents that were cut before, by the same chunker. Memory: some 32 bytes each, and two parts."""

    def __init__(self, index: Path, chunker: Fingerprint) -> None:
        """Find what stands in the staging area of `index`, and remove there what is of no use.

        Only the holder of the writer's lock may do so.
        """
        found = [*_waiting(index, chunker), *_left_behind(index, chunker)]
        kept: list[_Stretch] = []
        for stretch in sorted(found, key=lambda one: -one.rows):
            known = np.concatenate([one.keys[:, 0] for one in kept]) if kept else np.zeros(0, np.uint64)
            if np.isin(stretch.keys[:, 0], known).all():
                stretch.remove()
            else:
                kept.append(stretch)
        first_rows = np.cumsum([0, *(one.rows for one in kept)])
        keys = np.concatenate([np.zeros((0, 2), np.uint64), *(one.keys for one in kept)])
        starts = [one.starts + first for one, first in zip(kept, first_rows[:-1], strict=True)]
        stops = [one.stops + first for one, first in zip(kept, first_rows[:-1], strict=True)]
        order = np.argsort(keys[:, 0], kind="stable")
        self.keys = DocumentKeys(keys[order])
        """Which documents they are."""
        self._starts, self._stops = (
            np.concatenate([np.zeros(0, np.int64), *rows])[order] for rows in (starts, stops)
        )
        self._paths = [path for one in kept for path in one.paths]
        self._borders = np.cumsum([0, *(rows for one in kept for rows in one.part_rows)])
        self._part = lru_cache(_OPEN_PARTS)(_read)
        if len(self):
            log.info("%s: %d documents are cut already, by an ingest before this one", index, len(self))

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, doc_id: str, content_hash: str, source: str) -> tuple[pa.Table, int, int] | None:
        """A table of `CHUNK_SCHEMA`, and between which of its rows a document's chunks are; `None` where unknown.

        Raises `CorruptIndexError`.
        """
        place = self.keys.place(doc_id, content_hash, source)
        if place is None:
            return None
        start, stop = int(self._starts[place]), int(self._stops[place])
        first, last = np.searchsorted(self._borders, [start, stop - 1], "right") - 1
        if first == last:
            offset = int(self._borders[first])
            return self._part(self._paths[first]), start - offset, stop - offset
        table = pa.concat_tables(self._part(self._paths[part]) for part in range(first, last + 1))
        offset = int(self._borders[first])
        return table.slice(start - offset, stop - start).combine_chunks(), 0, stop - start


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Parts that follow each other in one ingest, and the documents that are whole in them: their keys and rows."""

    paths: tuple[Path, ...]
    part_rows: tuple[int, ...]
    keys: Keys
    starts: Rows
    stops: Rows
    is_waiting: bool

    @property
    def rows(self) -> int:
        return sum(self.part_rows)

    def remove(self) -> None:
        """Remove its files, unless they are those of a complete ingest."""
        for path in () if self.is_waiting else self.paths:
            path.unlink(missing_ok=True)


def _waiting(index: Path, chunker: Fingerprint) -> Iterator[_Stretch]:
    """The parts of a complete ingest."""
    try:
        staged = staging.load_ingest(index)
        if staged is not None and staged.chunker == dict(chunker.fields) and staged.parts and not staged.given:
            paths = [staging.ingest_folder(index) / part.name for part in staged.parts]
            yield _stretch(paths, begins=True, ends=True, is_waiting=True)
    except CorruptIndexError as error:
        log.info("%s", error)


def _left_behind(index: Path, chunker: Fingerprint) -> Iterator[_Stretch]:
    """The parts of ingests that did not end."""
    group: list[CutPart] = []
    for part in cut_parts(index):
        if part.chunker != chunker.digest or not part.is_sound:
            part.path.unlink()
            continue
        if group and (part.ingest, part.number) != (group[-1].ingest, group[-1].number + 1):
            yield from _readable(group)
            group = []
        group.append(part)
    if group:
        yield from _readable(group)


def _readable(parts: list[CutPart]) -> Iterator[_Stretch]:
    try:
        yield _stretch([part.path for part in parts], parts[0].number == 0, ends=False)
    except CorruptIndexError as error:
        log.info("%s", error)
        for part in parts:
            part.path.unlink()


def _stretch(paths: list[Path], begins: bool, ends: bool, is_waiting: bool = False) -> _Stretch:
    tables: list[pa.Table] = []
    part_rows = []
    for path in paths:
        blocks = [block.select(_KEY_COLUMNS) for block in read_blocks(path, CHUNK_SCHEMA, PART_GROUP_ROWS)]
        tables += blocks
        part_rows.append(sum(map(len, blocks)))
    table = pa.concat_tables([CHUNK_SCHEMA.empty_table().select(_KEY_COLUMNS), *tables]).combine_chunks()
    codes = as_array(table.column("doc_id").combine_chunks().dictionary_encode().indices)
    changes = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    borders = np.concatenate([[0], changes, [len(codes)]]).astype(np.int64) if len(codes) else np.zeros(1, np.int64)
    whole = slice(0 if begins else 1, None if ends else -1)
    starts, stops = borders[:-1][whole], borders[1:][whole]
    keys = keys_of(table.take(pa.array(starts)))
    return _Stretch(tuple(paths), tuple(part_rows), keys, starts, stops, is_waiting)


def _read(path: Path) -> pa.Table:
    return pa.concat_tables(read_blocks(path, CHUNK_SCHEMA, PART_GROUP_ROWS)).combine_chunks()
