"""Encoded rows by position: those of a shard, those of a live segment, and both gathered for a new segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.index.chunks import chunk_blocks
from pipeline.index.components.rows import Block, Ordinals, StoredRows, inverse
from pipeline.index.segment import Segment

_CHUNK_ROWS = 4096
_OPEN = 8


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the encoded rows of chunks are: chunk i is row `rows[i]` of `origins[numbers[i]]`.

    `origins`: folders of shards, and segments. `numbers`: int32 (n,), `rows`: int64 (n,).
    """

    origins: Sequence[Path | Segment]
    numbers: npt.NDArray[np.int32]
    rows: Ordinals

    def part(self, start: int, end: int) -> Placement:
        """Return the placement of the chunks start…end."""
        return Placement(self.origins, self.numbers[start:end], self.rows[start:end])


class GatheredSource:
    """Staged parts, and their encoded rows wherever they are, as the content of a new segment."""

    def __init__(self, parts: Sequence[Path], placement: Placement) -> None:
        self._parts, self._placement = parts, placement
        self.count = len(placement.rows)

    def chunk_tables(self) -> Iterator[pa.Table]:
        """Tables of `CHUNK_SCHEMA`."""
        for part in self._parts:
            yield from chunk_blocks(part, _CHUNK_ROWS)

    def blocks(self, rows: StoredRows[Block]) -> Iterator[Block]:
        """Blocks of a component's rows."""
        origin = lru_cache(_OPEN)(lambda number: self._reader(rows, number))
        for start in range(0, self.count, rows.block_rows):
            numbers = self._placement.numbers[start : start + rows.block_rows]
            places = self._placement.rows[start : start + rows.block_rows]
            pieces = [origin(number)(places[numbers == number]) for number in np.unique(numbers).tolist()]
            yield from rows.joined(pieces, inverse(numbers))

    def _reader(self, rows: StoredRows[Block], number: int) -> Callable[[Ordinals], Block]:
        origin = self._placement.origins[number]
        return rows.of_segment(origin.place) if isinstance(origin, Segment) else rows.of_shard(origin)
