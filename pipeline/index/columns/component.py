"""The columns that filters and facets read, as a component of a segment, derived from its chunks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.errors import CorruptIndexError
from pipeline.index.choices import DenseChoice
from pipeline.index.chunks import CHUNKS_FILE
from pipeline.index.columns.derive import COLUMNS_FILE, derive, write
from pipeline.index.columns.kinds import Kind
from pipeline.index.columns.reader import SegmentColumns, open_columns
from pipeline.index.components.contract import Component, Finding, SegmentSource, Volume
from pipeline.index.components.rows import Place, SegmentShape
from pipeline.index.manifest import Manifest, SegmentEntry

_BYTES_PER_CHUNK = 60


class ColumnsComponent(Component[SegmentColumns]):
    """Metadata by column. Segments that were written before there was such a file go without it."""

    name = "columns"
    file_names = (COLUMNS_FILE,)

    def is_wanted(self, shape: SegmentShape) -> bool:
        """Whether a segment has it: every new one does."""
        return True

    def needed(self, manifest: Manifest, entry: SegmentEntry) -> tuple[str, ...]:
        """Return nothing: chunks say the same, but slowly."""
        return ()

    def write(self, folder: Path, source: SegmentSource, shape: SegmentShape) -> None:
        """Derive it from the chunks in the folder."""
        write(folder / COLUMNS_FILE, derive(folder))

    def open(self, place: Place, verified: bool) -> SegmentColumns:
        """Map the file, or derive the columns in memory for a segment without one."""
        if place.has(COLUMNS_FILE):
            return open_columns(place.folder, place.entry.chunks)
        return SegmentColumns(derive(place.folder), place.folder / CHUNKS_FILE)

    def identity(self, shape: SegmentShape) -> None:
        """Return nothing: it follows from the chunks."""

    def check(self, place: Place, manifest: Manifest) -> Iterator[Finding]:
        """Compare it with what the chunks give."""
        if not (place.is_sound(COLUMNS_FILE) and place.is_sound(CHUNKS_FILE)):
            return
        fresh = SegmentColumns(derive(place.folder), place.folder / CHUNKS_FILE)
        if not _are_equal(open_columns(place.folder, place.entry.chunks), fresh):
            yield COLUMNS_FILE, f"differs from what {CHUNKS_FILE} gives; `pipeline repair` rebuilds it"

    def unusable(self, place: Place, manifest: Manifest) -> dict[str, str]:
        """Return why there is none, or none that this version reads."""
        if place.damaged & {COLUMNS_FILE, CHUNKS_FILE}:
            return {}
        if not place.has(COLUMNS_FILE):
            return {COLUMNS_FILE: "is not there: the segment was written before there were such files"}
        try:
            open_columns(place.folder, place.entry.chunks)
        except CorruptIndexError as error:
            return {COLUMNS_FILE: str(error).removeprefix(f"{place.folder / COLUMNS_FILE}: ").split(";")[0]}
        return {}

    def rebuild(self, place: Place, into: Path, choice: DenseChoice) -> SegmentEntry:
        """Write it anew from the chunks."""
        if COLUMNS_FILE in place.damaged and CHUNKS_FILE not in place.damaged:
            write(into / COLUMNS_FILE, derive(place.folder))
        return place.entry

    def estimated_bytes(self, volume: Volume, shape: SegmentShape) -> int:
        """Estimate the size of its file."""
        return volume.chunks * _BYTES_PER_CHUNK


def _are_equal(mine: SegmentColumns, other: SegmentColumns) -> bool:
    """Equal values of every chunk, of equal types; no number (NaN) equals itself."""
    if mine.names != other.names or any(mine.kind(name) != other.kind(name) for name in mine.names):
        return False
    for name in mine.names:
        kind = mine.kind(name)
        if not np.array_equal(mine.codes(name), other.codes(name)):
            return False
        if not mine.dictionary(name, Kind.TEXT).equals(other.dictionary(name, Kind.TEXT)):
            return False
        values, others = mine.dictionary(name, kind).to_pylist(), other.dictionary(name, kind).to_pylist()
        if not all(one == two or (one != one and two != two) for one, two in zip(values, others, strict=True)):
            return False
    return True


COLUMNS = ColumnsComponent()
