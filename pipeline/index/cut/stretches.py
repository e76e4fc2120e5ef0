"""Parts that follow each other, found in the staging area, and the documents that are whole in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.index import staging
from pipeline.index.chunks import read_blocks
from pipeline.index.cut.parts import PART_GROUP_ROWS, CutPart, cut_parts
from pipeline.index.live import keys_of
from pipeline.index.schemas import CHUNK_SCHEMA, as_array, rows_array
from pipeline.records import Fingerprint

log = logging.getLogger(__name__)

KEY_COLUMNS = ["doc_id", "doc_hash", "source"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Parts as if they were one table. `documents`: `KEY_COLUMNS` of those that are whole; their keys and rows."""

    paths: tuple[Path, ...]
    part_rows: tuple[int, ...]
    documents: pa.Table
    keys: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    is_waiting: bool

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(self.part_rows)

    def remove(self) -> None:
        """Remove its files, unless they are those of a complete ingest."""
        for path in () if self.is_waiting else self.paths:
            path.unlink(missing_ok=True)


def find_stretches(index: Path, chunker: Fingerprint) -> list[Stretch]:
    """Those of this chunker: of a complete ingest that waits for encoding, and of any that did not end.

    What is damaged, and what another chunker has cut, is removed.
    """
    return [*_waiting(index, chunker), *_left_behind(index, chunker)]


def find_looks(index: Path, chunker: Fingerprint) -> list[pa.Table]:
    """The tables of files that were kept with the parts, in the order of time."""
    import pyarrow.parquet as pq  # where it is needed: a cold query does without it

    return [pq.read_table(part.path) for part in _sound(index, chunker, of_files=True)]


def no_documents() -> pa.Table:
    """`KEY_COLUMNS` without a row. `Schema.empty_table` would import pandas."""
    return pa.Table.from_batches([], pa.schema([CHUNK_SCHEMA.field(name) for name in KEY_COLUMNS]))


def _waiting(index: Path, chunker: Fingerprint) -> Iterator[Stretch]:
    try:
        staged = staging.load_ingest(index)
        if staged is not None and staged.chunker == dict(chunker.fields) and staged.parts and not staged.given:
            paths = [staging.ingest_folder(index) / part.name for part in staged.parts]
            yield _stretch(paths, begins=True, ends=True, is_waiting=True)
    except CorruptIndexError as error:
        log.info("%s", error)


def _left_behind(index: Path, chunker: Fingerprint) -> Iterator[Stretch]:
    group: list[CutPart] = []
    for part in _sound(index, chunker):
        if group and not _follows(part, group[-1]):
            yield from _readable(group)
            group = []
        group.append(part)
    if group:
        yield from _readable(group)


def _follows(part: CutPart, last: CutPart) -> bool:
    """Whether nothing is missing between two parts."""
    return not last.is_so_far and (part.ingest, part.number) == (last.ingest, last.number + 1)


def _sound(index: Path, chunker: Fingerprint, of_files: bool = False) -> Iterator[CutPart]:
    for part in cut_parts(index, of_files):
        if part.chunker == chunker.digest and part.is_sound:
            yield part
        else:
            part.path.unlink()


def _readable(parts: Sequence[CutPart]) -> Iterator[Stretch]:
    try:
        yield _stretch([part.path for part in parts], parts[0].number == 0, parts[-1].is_so_far)
    except CorruptIndexError as error:  # of another version of the package
        log.info("%s", error)
        for part in parts:
            part.path.unlink()


def _stretch(paths: Sequence[Path], begins: bool, ends: bool, is_waiting: bool = False) -> Stretch:
    tables, part_rows = [no_documents()], []
    for path in paths:
        blocks = [block.select(KEY_COLUMNS) for block in read_blocks(path, CHUNK_SCHEMA, PART_GROUP_ROWS)]
        tables += blocks
        part_rows.append(sum(map(len, blocks)))
    table = pa.concat_tables(tables).combine_chunks()
    codes = as_array(pa.concat_arrays(table.column("doc_id").chunks).dictionary_encode().indices)
    changes = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    borders = np.concatenate([[0], changes, [len(codes)]]).astype(np.int64)
    whole = slice(0 if begins else 1, None if ends else -1)
    starts, stops = borders[:-1][whole], borders[1:][whole]
    documents = table.take(rows_array(starts))
    return Stretch(tuple(paths), tuple(part_rows), documents, keys_of(documents), starts, stops, is_waiting)
