"""Many queries against the rows of an exact dense leg at once: matrix products instead of one scan a query.

Products in float32 only say who can be among the best; callers score those candidates by the leg's own arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.records import Float32

WORTH_A_PRODUCT = 128
"""From so many queries on, products are faster than scans: rows become float32 once for all of them."""
_BLOCK_ROWS = 8192
_BLOCK_QUERIES = 256
_UNIT_ROUNDOFF = 2.0**-24
Mask = npt.NDArray[np.bool_]
Ordinals = npt.NDArray[np.int64]


def candidates(rows: npt.NDArray[Any], queries: Float32, depth: int, deleted: Mask | None) -> list[Ordinals]:
    """For each query, every row that could be among its best `depth` by inner product, ties included; ascending.

    `rows`: fp16 or fp32 (n, d); `queries`: float32 (q, d); both L2-normalised. `deleted`: True where a row is not
    wanted.
    """
    found: list[Ordinals] = []
    for start in range(0, len(queries), _BLOCK_QUERIES):
        found += _candidates(rows, queries[start : start + _BLOCK_QUERIES], depth, deleted)
    return found


def _candidates(rows: npt.NDArray[Any], queries: Float32, depth: int, deleted: Mask | None) -> list[Ordinals]:
    # A sum of d products of unit vectors is off by at most d roundings; both the cut and a candidate may be.
    margin = np.float32(2 * (rows.shape[1] + 1) * _UNIT_ROUNDOFF)
    pool = _Pool(len(queries), depth, margin)
    for start in range(0, len(rows), _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, len(rows))
        ordinals = np.arange(start, stop)
        if deleted is not None:
            ordinals = ordinals[~deleted[start:stop]]
            if not len(ordinals):
                continue
        whole = len(ordinals) == stop - start
        block = (rows[start:stop] if whole else rows[ordinals]).astype(np.float32)
        pool.offer(ordinals, queries @ block.T)
    return pool.best()


class _Pool:
    """What was offered and may stay, and for each query a score that `depth` of it reach (`cuts`)."""

    def __init__(self, queries: int, depth: int, margin: np.float32) -> None:
        self._depth, self._margin = depth, margin
        self._cuts = np.full(queries, -np.inf, np.float32)
        self._owners, self._ordinals = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._scores = np.zeros(0, np.float32)
        self._waiting: list[tuple[Ordinals, Ordinals, Float32]] = []
        self._size, self._limit = 0, 0

    def offer(self, ordinals: Ordinals, scores: Float32) -> None:
        """Some rows' scores, float32 (queries, rows)."""
        owners, columns = np.nonzero(scores >= (self._cuts - self._margin)[:, None])
        self._waiting.append((owners, ordinals[columns], scores[owners, columns]))
        self._size += len(owners)
        if self._size > self._limit:
            self._shrink()

    def best(self) -> list[Ordinals]:
        """For each query, what may be among its best."""
        self._shrink()
        return np.split(self._ordinals, np.cumsum(np.bincount(self._owners, minlength=len(self._cuts)))[:-1])

    def _shrink(self) -> None:
        """Raise the cuts and drop what is below them. Owners ascend afterwards, and ordinals within an owner."""
        parts = [(self._owners, self._ordinals, self._scores), *self._waiting]
        owners, ordinals, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(owners, kind="stable")
        owners, ordinals, scores = owners[order], ordinals[order], scores[order]
        bounds = np.cumsum([0, *np.bincount(owners, minlength=len(self._cuts))])
        for query in range(len(self._cuts)):
            mine = scores[bounds[query] : bounds[query + 1]]
            if len(mine) >= self._depth:
                self._cuts[query] = np.partition(mine, len(mine) - self._depth)[len(mine) - self._depth]
        kept = scores >= (self._cuts - self._margin)[owners]
        self._owners, self._ordinals, self._scores = owners[kept], ordinals[kept], scores[kept]
        self._waiting = []
        self._size = len(self._owners)
        self._limit = 2 * self._size + 4 * self._depth * len(self._cuts)
