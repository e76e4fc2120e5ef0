"""Writing the dense leg of a segment, and measuring how to search it.

An approximate index is searched with as many probes, and as many candidates rescored, as it takes to meet a recall
that is measured on vectors of the segment itself; what was chosen and reached is recorded in the manifest.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import ConfigError
from pipeline.index.dense.search import (
    INDEX_FILE,
    ROWS_FILE,
    DenseIndex,
    Ordinals,
    faiss,
    is_flat,
    last_line,
    search_parameters,
)
from pipeline.index.manifest import DenseParameters
from pipeline.records import Float32

_TRAIN_ROWS = 262_144
_ROWS_A_CLUSTER = 64
_ROUNDS = 10
_BLOCK_ROWS = 32_768
_SAMPLES = 200
_NEIGHBOURS = 10
_MOST_REFINED = 64
log = logging.getLogger(__name__)


def write(folder: Path, kind: str, dimension: int, count: int, blocks: Iterable[Float32]) -> None:
    """Write the dense files of a segment from blocks of rows. Raises `ConfigError` for a kind FAISS refuses.

    With too few rows to train the kind they are kept as in `SQfp16`, to be scanned exactly.
    """
    try:
        index = faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError:
        raise ConfigError(
            f"segments.dense={kind!r}: not a FAISS index type; use `auto`, `SQfp16`, `Flat`…"
        ) from None
    if is_flat(index):
        _write_flat(folder / INDEX_FILE, index, count, blocks)
        return
    rows = np.lib.format.open_memmap(folder / ROWS_FILE, "w+", np.float16, (count, dimension))
    with (folder / ROWS_FILE).open("r+b") as file:
        # A full disk is an error here; found out by writing to the mapping it would kill the process.
        os.posix_fallocate(file.fileno(), 0, rows.offset + rows.nbytes)
    done = 0
    for block in blocks:
        rows[done : done + len(block)] = block
        done += len(block)
    if _fill(index, rows, kind):
        rows.flush()
        faiss.write_index(index, str(folder / INDEX_FILE))
        return
    log.info("%s: %d rows are too few for %s, they are scanned exactly", folder, count, kind)
    flat = faiss.index_factory(dimension, "SQfp16", faiss.METRIC_INNER_PRODUCT)
    parts = (rows[start : start + _BLOCK_ROWS] for start in range(0, count, _BLOCK_ROWS))
    _write_flat(folder / INDEX_FILE, flat, count, parts)
    (folder / ROWS_FILE).unlink()


def _write_flat(path: Path, index: Any, count: int, blocks: Iterable[Float32]) -> None:
    """What FAISS would write for an empty flat index once the rows were added, without holding them in memory.

    Its file is a header that has the number of rows in bytes 8 to 16, the length of the codes in 8 bytes (in units
    of 4 for fp32), and the codes, which are the rows one after the other.
    """
    index.is_trained = True  # both flat kinds have nothing to learn
    header = bytearray(faiss.serialize_index(index).tobytes())
    unit, dtype = (4, np.float32) if isinstance(index, faiss.IndexFlat) else (1, np.float16)
    header[8:16] = struct.pack("<q", count)
    header[-8:] = struct.pack("<Q", count * index.code_size // unit)
    with path.open("wb") as file:
        file.write(header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=dtype).data)


def _fill(index: Any, rows: npt.NDArray[np.float16], kind: str) -> bool:
    """Train the index and add the rows; `False` if they are too few. Raises `ConfigError`."""
    try:
        with _all_threads():
            if not index.is_trained:
                _set_clustering(index)
                step = max(1, len(rows) // _TRAIN_ROWS)
                index.train(np.ascontiguousarray(rows[::step], dtype=np.float32))
            for start in range(0, len(rows), _BLOCK_ROWS):
                index.add(np.ascontiguousarray(rows[start : start + _BLOCK_ROWS], dtype=np.float32))
        if len(rows):
            selector = faiss.IDSelectorBitmap(np.full((len(rows) + 7) // 8, 255, np.uint8))
            one = np.ascontiguousarray(rows[:1], dtype=np.float32)
            index.search(one, 1, params=search_parameters(index, selector, 1))
    except RuntimeError as error:
        if "training points" in str(error) or "nx >= k" in str(error):
            return False
        raise ConfigError(
            f"segments.dense={kind!r}: FAISS cannot build it over {len(rows)} rows or cannot search it around "
            f"deleted chunks: {last_line(error)}; use `auto`"
        ) from None
    return True


def _set_clustering(index: Any) -> None:
    """Learn from fewer rows in fewer rounds than FAISS would: as few rows are scanned for the same recall (ADR 12).

    FAISS prints a warning for clusters of few rows, past every log; it is told not to.
    """
    searched = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    lists, codes = getattr(searched, "cp", None), getattr(getattr(searched, "pq", None), "cp", None)
    for clustering in (lists, codes):
        if clustering is not None:
            clustering.min_points_per_centroid = 1
    if lists is not None:
        lists.max_points_per_centroid, lists.niter = _ROWS_A_CLUSTER, _ROUNDS


def tune(folder: Path, kind: str, chunks: int, target: float) -> DenseParameters | None:
    """The cheapest search that finds `target` of the true ten nearest neighbours of vectors sampled from the
    segment just written; `None` for an exact index. If none does, the best there is, with a warning in the log."""
    index = DenseIndex(folder, chunks)
    if index.exact or chunks == 0:
        return None
    truth = _Truth(index)
    probes = min(16 if kind.startswith("HNSW") else 1, index.probe_limit) or 1
    refine = 1
    with _all_threads():
        recall = truth.recall(probes, refine)
        while recall < target:
            steps = []
            if probes < index.probe_limit:
                more = min(2 * probes, index.probe_limit)
                steps.append((truth.recall(more, refine), more, refine))
            if refine < _MOST_REFINED:
                steps.append((truth.recall(probes, 2 * refine), probes, 2 * refine))
            if not steps:
                log.warning(
                    "%s: segments.dense=%s finds %.3f of the true neighbours at most, recall_target is %.3f",
                    folder,
                    kind,
                    recall,
                    target,
                )
                break
            recall, probes, refine = max(steps, key=lambda step: step[0])
    log.info("%s: %s, recall@10 %.3f with %d probes, %d× refined", folder, kind, recall, probes, refine)
    return DenseParameters(kind, probes if index.probe_limit else None, refine, round(recall, 4))


def recall_of(index: DenseIndex, parameters: DenseParameters) -> float:
    """Return the recall that `tune` would measure of an open index with these parameters."""
    return _Truth(index).recall(parameters.probes or 1, parameters.refine)


class _Truth:
    """Sampled vectors and, for each, how similar its tenth nearest other row is."""

    def __init__(self, index: DenseIndex) -> None:
        self._index = index
        count = len(index.rows)
        self._neighbours = min(_NEIGHBOURS, count - 1)
        self._samples = np.unique(np.linspace(0, count - 1, min(_SAMPLES, count)).astype(np.int64))
        self._queries = index.vectors(self._samples)
        exact = index.scan(self._queries, self._neighbours + 1)
        self._cuts = [self._similarities(row, ordinals)[-1:] for row, ordinals in enumerate(exact)]

    def _similarities(self, row: int, ordinals: Ordinals) -> Float32:
        """Return the similarities of the best neighbours among `ordinals` without the sample, best first."""
        others = ordinals[ordinals != self._samples[row]]
        return -np.sort(-self._index.scores(self._queries[row], others))[: self._neighbours]

    def recall(self, probes: int, refine: int) -> float:
        """Mean share of the true neighbours among the proposed candidates; a tie with the last one counts."""
        if self._neighbours == 0:
            return 1.0
        found = self._index.candidates(self._queries, self._neighbours + 1, probes, refine)
        shares = [
            np.count_nonzero(self._similarities(row, proposed.ordinals) >= self._cuts[row]) / self._neighbours
            for row, proposed in enumerate(found)
        ]
        return float(np.mean(shares))


@contextmanager
def _all_threads() -> Iterator[None]:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
