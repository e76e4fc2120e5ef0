"""Dense vectors as a component of a segment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import arrays, names
from pipeline.errors import CorruptIndexError, IndexStoreError
from pipeline.index import files
from pipeline.index.choices import DenseChoice
from pipeline.index.components.contract import Component, Finding, SegmentSource, Volume
from pipeline.index.components.rows import Ordinals, Place, SegmentShape
from pipeline.index.dense import write as writing
from pipeline.index.dense.search import INDEX_FILE, ROWS_FILE, DenseIndex
from pipeline.index.manifest import DenseParameters, Manifest, SegmentEntry
from pipeline.records import Encoded

STAGED_FILE = "dense.npy"
"""The rows of a shard."""

_BLOCK_ROWS = 16_384
_NORM_TOLERANCE = 0.011
"""Encoders are held to 0.01 (`check_encoded`); storing as fp16 adds at most 2^-11 a component."""
_RECALL_TOLERANCE = 0.02
"""Another version of FAISS may round in another way."""

Vectors = npt.NDArray[np.floating[Any]]


def row_type(kind: str) -> np.dtype[np.floating[Any]]:
    """Return the type in which a segment of this FAISS kind keeps its rows."""
    return np.dtype(np.float32 if kind == "Flat" else np.float16)


class DenseRows:
    """Vectors: float16 or float32 (n, d)."""

    block_rows = 8192

    def stage(self, folder: Path, encoded: Encoded, shape: SegmentShape) -> None:
        """Write the vectors in the type that the segment will store."""
        if encoded.dense is not None:
            np.save(folder / STAGED_FILE, encoded.dense.astype(row_type(shape.dense.kind)), allow_pickle=False)

    def of_shard(self, folder: Path) -> Callable[[Ordinals], Vectors]:
        """Map the rows of a shard."""
        stored: Vectors = arrays.mapped(folder / STAGED_FILE)
        return stored.__getitem__

    def of_segment(self, place: Place) -> Callable[[Ordinals], Vectors]:
        """Map the rows of a segment."""
        index = opened(place)  # owns the memory of its rows

        def take(rows: Ordinals) -> Vectors:
            taken: Vectors = index.rows[rows]
            return taken

        return take

    def blocks(self, place: Place) -> Iterator[Vectors]:
        """Return all rows as float32; fp16 as float32 and back is exact."""
        index = opened(place)
        for start in range(0, place.entry.chunks, _BLOCK_ROWS):
            yield index.vectors(slice(start, min(start + _BLOCK_ROWS, place.entry.chunks)))

    def joined(self, pieces: Sequence[Vectors], order: Ordinals) -> Iterable[Vectors]:
        """Stack rows, as float32."""
        return [np.concatenate(pieces)[order].astype(np.float32)]

    def is_good_enough(self, place: Place, shape: SegmentShape) -> bool:
        """Whether the rows are rounded no more than those of a new segment: a rebuild must give the same."""
        kept: int = opened(place).rows.dtype.itemsize
        return kept >= row_type(shape.dense.kind).itemsize


class DenseComponent(Component[DenseIndex]):
    """A FAISS index, and beside an approximate one the rows that it is scored with."""

    name = names.DENSE
    file_names = (INDEX_FILE, ROWS_FILE)
    rows = DenseRows()

    def is_wanted(self, shape: SegmentShape) -> bool:
        """Whether vectors are stored."""
        return shape.dimension is not None

    def needed(self, manifest: Manifest, entry: SegmentEntry) -> tuple[str, ...]:
        """Return the FAISS file."""
        return (INDEX_FILE,) if manifest.fingerprint(self.name) is not None else ()

    def is_scanned(self, entry: SegmentEntry) -> bool:
        """Whether a search scans the rows, and no approximate index proposes some of them."""
        return not entry.has(ROWS_FILE)

    def write(self, folder: Path, source: SegmentSource, shape: SegmentShape) -> DenseParameters | None:
        """Write the rows and tune the search. Raises `ConfigError` for a kind FAISS refuses, `IndexStoreError`."""
        assert shape.dimension is not None
        kind = shape.dense.kind
        try:
            writing.write(folder, kind, shape.dimension, source.count, source.blocks(self.rows))
            # Opens it, too: FAISS does not say when its last flush fails.
            return writing.tune(folder, kind, source.count, shape.dense.recall_target)
        except (RuntimeError, CorruptIndexError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise IndexStoreError(
                f"{folder / INDEX_FILE}: cannot be written whole, is the disk full? ({reason})"
            ) from None

    def open(self, place: Place, verified: bool) -> DenseIndex:
        """Map the rows."""
        return opened(place)

    def identity(self, shape: SegmentShape) -> str:
        """Return the kind, and what an approximate one is tuned to."""
        return shape.dense.identity

    def settled(self, shape: SegmentShape, count: int, total: int, merged: Sequence[Place]) -> SegmentShape:
        """Return the shape with a kind in the place of `auto`; rows that were stored in full are not rounded."""
        chosen = shape.dense.settled(count, total)
        rounds = shape.dense.kind == "auto" and chosen.kind == "SQfp16" and self.is_wanted(shape)
        if rounds and any(opened(place).rows.dtype == np.float32 for place in merged):
            chosen = DenseChoice("Flat")
        return dataclasses.replace(shape, dense=chosen)

    def check(self, place: Place, manifest: Manifest) -> Iterator[Finding]:
        """Compare dimension, recall and the length of every vector."""
        if not place.is_sound(INDEX_FILE) or ROWS_FILE in place.damaged:
            return
        index, tuned = opened(place), place.entry.dense
        if index.dimension != manifest.dimension:
            yield INDEX_FILE, f"{index.dimension} dimensions where the manifest says {manifest.dimension}"
        if tuned and (recall := writing.recall_of(index, tuned)) < tuned.recall - _RECALL_TOLERANCE:
            yield INDEX_FILE, f"finds {recall:.3f} of the true neighbours, the manifest says {tuned.recall:.3f}"
        for start in range(0, place.entry.chunks, _BLOCK_ROWS):
            norms = np.linalg.norm(index.vectors(slice(start, start + _BLOCK_ROWS)).astype(np.float64), axis=1)
            wrong = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))
            if len(wrong):
                first = f"first row {start + int(wrong[0])}: {norms[wrong[0]]:.4f}"
                yield INDEX_FILE, f"{len(wrong)} vectors are not of length 1, {first}"

    def rebuild(self, place: Place, into: Path, choice: DenseChoice) -> SegmentEntry:
        """Write an approximate index anew from the rows beside it."""
        if INDEX_FILE not in place.damaged or not place.is_sound(ROWS_FILE):
            return place.entry
        rows = files.read_array(place.folder / ROWS_FILE, np.float16, 2)
        kind = place.entry.dense.kind if place.entry.dense else choice.settled(len(rows)).kind
        blocks = (
            rows[start : start + _BLOCK_ROWS].astype(np.float32) for start in range(0, len(rows), _BLOCK_ROWS)
        )
        writing.write(into, kind, rows.shape[1], len(rows), blocks)
        tuned = writing.tune(into, kind, len(rows), choice.recall_target)
        return dataclasses.replace(place.entry, dense=tuned)

    def estimated_bytes(self, volume: Volume, shape: SegmentShape) -> int:
        """Estimate the size of the rows."""
        return volume.chunks * volume.dimension * row_type(shape.dense.kind).itemsize


def opened(place: Place) -> DenseIndex:
    """Open the files of a segment. Raises `CorruptIndexError`."""
    return DenseIndex(place.folder, place.entry.chunks, place.entry.dense)


DENSE = DenseComponent()
