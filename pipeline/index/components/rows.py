"""Rows that a segment keeps for good, one for each chunk, and how they travel: encoder, shard, segment, segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.index.choices import EXACT, DenseChoice, LexicalChoice
from pipeline.index.manifest import SegmentEntry
from pipeline.index.multivector.search import Precision
from pipeline.records import Encoded

Ordinals = npt.NDArray[np.int64]
Block = TypeVar("Block")


@dataclass(frozen=True, slots=True)
class SegmentShape:
    """Which components a segment has, and how they are stored.

    `dimension`: of dense rows, `None` without a dense leg. `dense`: a FAISS factory string, and what an approximate
    kind is tuned to. `has_words`: whether lexical terms are those of words (BM25). `lexical`: whether an
    approximate index stands beside the postings. `precision`: of multi-vectors.
    """

    dimension: int | None
    dense: DenseChoice
    has_lexical: bool
    has_multivectors: bool = False
    has_words: bool = False
    lexical: LexicalChoice = EXACT
    precision: Precision = "int8"


@dataclass(frozen=True, slots=True)
class Place:
    """A segment on disk, some of whose files may not be what its entry says."""

    folder: Path
    entry: SegmentEntry
    damaged: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """Whether the entry names this file."""
        return self.entry.has(name)

    def is_sound(self, name: str) -> bool:
        """Whether the entry names this file, and it is what it says."""
        return name not in self.damaged and self.has(name)


class StoredRows(Protocol[Block]):
    """Rows that no other file gives back, one for each chunk: how shards keep them and how segments are read.

    A block is a NumPy array, an Arrow table or a record batch.
    """

    block_rows: int
    """How many rows are gathered at once."""

    def stage(self, folder: Path, encoded: Encoded, shape: SegmentShape) -> None:
        """Write what the encoder gave into the folder of a shard, as a segment will store it."""

    def of_shard(self, folder: Path) -> Callable[[Ordinals], Block]:
        """Open a shard: rows by position."""

    def of_segment(self, place: Place) -> Callable[[Ordinals], Block]:
        """Open a segment: rows by position, as stored."""

    def blocks(self, place: Place) -> Iterator[Block]:
        """Return all rows of a segment, in order."""

    def joined(self, pieces: Sequence[Block], order: Ordinals) -> Iterable[Block]:
        """Stack blocks, and put their rows in this order."""

    def is_good_enough(self, place: Place, shape: SegmentShape) -> bool:
        """Whether a segment's rows are at least as exact as those of a new segment would be."""


def inverse(numbers: npt.NDArray[np.integer]) -> Ordinals:
    """Return positions that bring rows grouped by number, ascending, back into the order of `numbers`."""
    order = np.empty(len(numbers), np.int64)
    order[np.argsort(numbers, kind="stable")] = np.arange(len(numbers))
    return order


def stacked(pieces: Sequence[pa.Table], order: Ordinals) -> pa.Table:
    """Stack tables and put their rows in this order."""
    return pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces).take(order)
