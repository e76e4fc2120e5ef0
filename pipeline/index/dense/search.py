"""Searching the dense leg of a segment: FAISS, inner product of L2-normalised vectors.

A flat index keeps fp16 (`SQfp16`) or fp32 (`Flat`) rows that are scanned exactly; any other FAISS factory string
finds candidates only, and their scores come from fp16 rows kept beside it. A score is always computed from the
stored rows by the same arithmetic, so it depends neither on the segment, nor on k, nor on who found the candidate.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import CorruptIndexError
from pipeline.forking import Lock
from pipeline.index import files
from pipeline.index.dense import layout as dense_layout
from pipeline.index.dense.proposals import NOTHING, Proposed, joined, least, residual_error, summing_error
from pipeline.index.manifest import DenseParameters
from pipeline.records import Float32
from pipeline.startup.installed import told_what_to_install

INDEX_FILE = "dense.faiss"
ROWS_FILE = "dense-rows.npy"
Mask = npt.NDArray[np.bool_]
Ordinals = npt.NDArray[np.int64]

_VIEW_ROWS = 32_768
_SCAN_ROWS = 8_192
_SELECTIVE = 50
"""A filter that keeps less than one row in so many is served by scanning what it keeps."""
_MOST_QUERIES = 16
"""From 20 queries on, FAISS compares them with the centres of lists by other arithmetic, and may visit others."""
_ROUNDING = 1e-5
"""FAISS sums in float32: a candidate this close to the cut may belong above it."""


def _load_faiss() -> Any:
    # FAISS reads this when its OpenMP runtime starts: worker threads of ours would otherwise each start a team.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with told_what_to_install():
            import faiss
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
    return faiss


faiss = _load_faiss()
_READING = Lock()
"""FAISS has one limit for the whole process."""


class DenseIndex:
    """An open dense leg. `rows`: fp16 or fp32 (n, d), memory-mapped."""

    def __init__(self, folder: Path, chunks: int, parameters: DenseParameters | None = None) -> None:
        """Open the files of a segment; `parameters` say how to search an approximate index. Raises
        `CorruptIndexError`."""
        path = self._path = folder / INDEX_FILE
        try:
            with _READING:
                faiss.set_deserialization_vector_byte_limit(path.stat().st_size)  # no part is larger than the whole
                self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY)
        except (RuntimeError, MemoryError, OSError) as error:
            raise files.damage(error, f"{path}: FAISS cannot read it ({last_line(error)})") from None
        if self._index.ntotal != chunks:
            raise CorruptIndexError(f"{path}: {self._index.ntotal} vectors where the manifest says {chunks} chunks")
        self.dimension: int = self._index.d
        self._error = _scoring_error(self._index)
        self.rows: npt.NDArray[Any]
        self._views: list[tuple[int, Any]]
        self.exact = is_flat(self._index)
        self.probe_limit = 0 if self.exact else _probe_limit(self._index)
        """The most lists (IVF) or graph nodes (HNSW) a search can visit; 0 where there is nothing to choose."""
        self._probes = parameters.probes if parameters and parameters.probes else _usual_probes(self._index)
        self._refine = parameters.refine if parameters else 1
        if self.exact:
            self.rows = _rows_of(self._index)
            self._views = [
                (start, self._view(start, min(start + _VIEW_ROWS, chunks)))
                for start in range(0, chunks, _VIEW_ROWS)
            ]
        else:
            self._check_layout(parameters)
            # A plain array over the mapped memory: `memmap` takes longer to index than the rows to read.
            self.rows = files.map_array(folder / ROWS_FILE, np.float16, 2).view(np.ndarray)
            if self.rows.shape != (chunks, self.dimension):
                raise CorruptIndexError(f"{folder / ROWS_FILE}: shape {self.rows.shape} does not fit {path}")
            self._views = [(0, self._index)]

    def _check_layout(self, parameters: DenseParameters | None) -> None:
        """Raise `CorruptIndexError` unless the index is of the kind that the manifest names, if it names one."""
        if parameters is None:
            return
        try:
            made = faiss.index_factory(self.dimension, parameters.kind, faiss.METRIC_INNER_PRODUCT)
        except (RuntimeError, MemoryError) as error:
            raise files.damage(error, f"{self._path}: its kind {parameters.kind!r} is none ({error})") from None
        wrong = dense_layout.differences(_searched(self._index), _searched(made))
        if type(made) is not type(self._index) or wrong:
            raise CorruptIndexError(
                f"{self._path}: is not laid out as {parameters.kind} is ({', '.join(wrong)}); {files.MEND}"
            )

    def _view(self, start: int, end: int) -> Any:
        """A flat index over rows start…end that shares their memory, so that threads can scan parts."""
        index = self._index
        code_size = index.code_size
        view = faiss.clone_index(_empty_like(index))
        address = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * code_size)[start * code_size :]
        count = (end - start) * code_size
        view.codes = faiss.MaybeOwnedVectorUInt8.create_view(faiss.swig_ptr(address), count, index.codes.owner)
        view.ntotal = end - start
        return view

    def search(
        self, queries: Float32, depth: int, deleted: Mask | None, pool: Executor
    ) -> list[tuple[Ordinals, Float32]]:
        """Candidates of each query: ordinals and scores, best first, ties at the cut included.

        `queries`: float32 (q, d). `deleted`: True where a chunk is gone or filtered out. An approximate index may
        miss some of the best, but never returns fewer than `depth` while there are as many.
        """
        found = self.propose(queries, depth, deleted, pool)
        return [
            self.best(query, proposed.above(least([proposed], depth)), depth)
            for query, proposed in zip(queries, found, strict=True)
        ]

    def propose(self, queries: Float32, depth: int, deleted: Mask | None, pool: Executor) -> list[Proposed]:
        """Rows among which each query's best `depth` are, ties included; of those of an approximate index, that it
        found."""
        if self._index.ntotal == 0:
            return [NOTHING for _ in queries]
        depth = min(depth, self._index.ntotal)
        if self.exact:
            found = list(pool.map(lambda view: self._search_view(view, queries, depth, deleted), self._views))
            return [joined(parts) for parts in zip(*found, strict=True)]
        if len(queries) == 1:
            return self.candidates(queries, depth, self._probes, self._refine, deleted)
        size = min(-(-len(queries) // (os.cpu_count() or 1)), _MOST_QUERIES)
        groups = [queries[start : start + size] for start in range(0, len(queries), size)]
        parts = pool.map(lambda group: self.candidates(group, depth, self._probes, self._refine, deleted), groups)
        return [proposed for part in parts for proposed in part]

    def candidates(
        self, queries: Float32, depth: int, probes: int, refine: int, deleted: Mask | None = None
    ) -> list[Proposed]:
        """What an approximate index proposes for each query: at least `refine` · `depth` rows, in no exact order.

        `probes`: lists or nodes to visit, at most `probe_limit`. Rows kept by a selective filter are all proposed.
        """
        alive = self._index.ntotal if deleted is None else int(np.count_nonzero(~deleted))
        wanted = min(refine * depth, alive)
        if wanted == 0 or (deleted is not None and alive <= max(4 * wanted, self._index.ntotal // _SELECTIVE)):
            return [Proposed(ordinals) for ordinals in self.scan(queries, depth, deleted)]
        found = [NOTHING] * len(queries)
        short = list(range(len(queries)))
        while short:
            # Each query for itself, so that its result does not depend on those it came with.
            again = self._search_view(self._views[0], queries[short], wanted, deleted, probes)
            for row, proposed in zip(short, again, strict=True):
                found[row] = proposed
            short = [row for row in short if len(found[row].ordinals) < wanted]
            if probes == self.probe_limit:
                break
            probes = min(4 * probes, self.probe_limit)
        if short:
            for row, ordinals in zip(short, self.scan(queries[short], depth, deleted), strict=True):
                found[row] = Proposed(ordinals)
        return found

    def scan(self, queries: Float32, depth: int, deleted: Mask | None = None) -> list[Ordinals]:
        """Per query, the ordinals of the best `depth` rows and of all that tie with the last: reads every row."""
        alive = np.arange(self._index.ntotal) if deleted is None else np.flatnonzero(~deleted)
        if len(alive) <= depth:
            return [alive for _ in queries]
        none = (np.zeros(0, np.int64), np.zeros(0, np.float32))
        found = [none for _ in queries]
        for start in range(0, len(alive), _SCAN_ROWS):
            block = alive[start : start + _SCAN_ROWS]
            products = queries @ self.vectors(block).T
            found = [
                _closest(np.concatenate([ordinals, block]), np.concatenate([scores, row]), depth)
                for (ordinals, scores), row in zip(found, products, strict=True)
            ]
        return [ordinals for ordinals, _ in found]

    def _search_view(
        self, view: tuple[int, Any], queries: Float32, depth: int, deleted: Mask | None, probes: int = 0
    ) -> list[Proposed]:
        """Per query, every ordinal of this part that could be among the best `depth`, ties included."""
        start, index = view
        selector = None
        if deleted is not None:
            alive = np.packbits(~deleted[start : start + index.ntotal], bitorder="little")
            selector = faiss.IDSelectorBitmap(alive)
        wanted = min(depth + 16, index.ntotal)
        depth = min(depth, index.ntotal)
        pending = np.arange(len(queries))
        by_query: dict[int, Proposed] = {}
        while len(pending):
            scores, labels = self._ask(index, queries[pending], wanted, search_parameters(index, selector, probes))
            unfinished = []
            for query, row_scores, row_labels in zip(pending, scores, labels, strict=True):
                kept = row_labels >= 0
                # Equal scores (repeated texts) may go on below the cut; FAISS would choose among them by position.
                full = bool(kept[-1]) and wanted < index.ntotal
                if full and row_scores[-1] >= row_scores[depth - 1] - _ROUNDING:
                    unfinished.append(query)
                ordinals = row_labels[kept].astype(np.int64) + start
                near = None if self._error is None else row_scores[kept]
                by_query[int(query)] = Proposed(ordinals, near, self._error or 0.0)
            pending = np.array(unfinished, dtype=np.int64)
            wanted = min(wanted * 4, index.ntotal)
        return [by_query[query] for query in range(len(queries))]

    def _ask(self, index: Any, queries: Float32, wanted: int, parameters: Any) -> tuple[Float32, Ordinals]:
        """Scores and labels (q, wanted) by FAISS, -1 where there are no more. Raises `CorruptIndexError`."""
        try:
            scores, labels = index.search(queries, wanted, params=parameters)
        except (RuntimeError, MemoryError) as error:
            raise files.damage(error, f"{self._path}: FAISS cannot search it ({last_line(error)})") from None
        if labels.max(initial=-1) >= index.ntotal:
            raise CorruptIndexError(f"{self._path}: names rows beyond its {index.ntotal}")
        return scores, labels

    def best(self, query: Float32, ordinals: Ordinals, depth: int) -> tuple[Ordinals, Float32]:
        """The best `depth` of these rows and all that tie with the last, best first, with their exact scores."""
        scores = self.scores(query, ordinals)
        if len(ordinals) > depth:
            cut = np.partition(scores, len(scores) - depth)[len(scores) - depth]
            kept = scores >= cut
            ordinals, scores = ordinals[kept], scores[kept]
        order = np.lexsort((ordinals, -scores))
        return ordinals[order], scores[order]

    def scores(self, query: Float32, ordinals: Ordinals) -> Float32:
        """Exact inner products of `query` with stored rows: float64 arithmetic, one row at a time in effect."""
        products = self.rows[ordinals].astype(np.float64) * query.astype(np.float64)
        summed: npt.NDArray[np.float64] = products.sum(axis=1)
        return summed.astype(np.float32)

    def vectors(self, ordinals: Ordinals | slice | Sequence[int]) -> Float32:
        """Stored rows as float32."""
        return self.rows[ordinals].astype(np.float32)


def _closest(ordinals: Ordinals, scores: Float32, depth: int) -> tuple[Ordinals, Float32]:
    """The best `depth` and all that rounding may have put below them."""
    if len(scores) <= depth:
        return ordinals, scores
    kept = scores >= np.partition(scores, len(scores) - depth)[len(scores) - depth] - _ROUNDING
    return ordinals[kept], scores[kept]


def search_parameters(index: Any, selector: Any, probes: int) -> Any:
    """What FAISS wants to know for a search with a mask and so many lists or graph nodes to visit."""
    if isinstance(index, faiss.IndexPreTransform):
        inner = search_parameters(faiss.downcast_index(index.index), selector, probes)
        return faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=probes)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=probes)
    return faiss.SearchParameters(sel=selector)


def _searched(index: Any) -> Any:
    """The index behind a transformation of the vectors, if there is one."""
    return faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index


def _probe_limit(index: Any) -> int:
    index = _searched(index)
    if isinstance(index, faiss.IndexIVF):
        return int(index.nlist)
    return min(int(index.ntotal), 4096) if isinstance(index, faiss.IndexHNSW) else 0


def _usual_probes(index: Any) -> int:
    """Where nothing was measured."""
    index = _searched(index)
    return max(8, index.nlist // 32) if isinstance(index, faiss.IndexIVF) else 256


def is_flat(index: Any) -> bool:
    """Whether FAISS scans every row as it was stored, in fp16 or fp32."""
    if isinstance(index, faiss.IndexScalarQuantizer):
        return bool(index.sq.qtype == faiss.ScalarQuantizer.QT_fp16)
    return isinstance(index, faiss.IndexFlat)


def _scoring_error(index: Any) -> float | None:
    """How far FAISS's scores can be from the exact ones; `None` where its codes are too coarse to say."""
    if is_flat(index):
        return summing_error(index.d)
    is_half = isinstance(index, faiss.IndexIVFScalarQuantizer) and index.sq.qtype == faiss.ScalarQuantizer.QT_fp16
    return residual_error(index.d) if is_half else None


def _empty_like(index: Any) -> Any:
    if isinstance(index, faiss.IndexFlat):
        return faiss.IndexFlatIP(index.d)
    return faiss.IndexScalarQuantizer(index.d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _rows_of(index: Any) -> npt.NDArray[Any]:
    dtype = np.float32 if isinstance(index, faiss.IndexFlat) else np.float16
    codes = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    rows: npt.NDArray[Any] = codes.view(dtype).reshape(index.ntotal, index.d)
    return rows


def last_line(error: Exception) -> str:
    """FAISS puts the trace first and the reason last."""
    return str(error).strip().splitlines()[-1]
