"""The dense leg of a segment: FAISS, inner product of L2-normalised vectors. The only module that imports faiss.

A flat index keeps fp16 (`SQfp16`) or fp32 (`Flat`) rows that are scanned exactly; any other FAISS factory string
finds candidates only, and their scores come from fp16 rows kept beside it. A score is always computed from the
stored rows by the same arithmetic, so it depends neither on the segment, nor on k, nor on who found the candidate.
"""

from __future__ import annotations

import math
import os
import struct
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import ConfigError, CorruptIndexError
from pipeline.index import files
from pipeline.records import Float32

INDEX_FILE = "dense.faiss"
ROWS_FILE = "dense-rows.npy"
Mask = npt.NDArray[np.bool_]
Ordinals = npt.NDArray[np.int64]

_FLAT_LIMIT = 1_000_000
_VIEW_ROWS = 32_768
_TRAIN_ROWS = 262_144
_ROUNDING = 1e-5
"""FAISS sums in float32: a candidate this close to the cut may belong above it."""


def _load_faiss() -> Any:
    # FAISS reads this when its OpenMP runtime starts: worker threads of ours would otherwise each start a team.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        import faiss
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
    return faiss


faiss = _load_faiss()
_READING = threading.Lock()
"""FAISS has one limit for the whole process."""


def choose_kind(setting: str, chunks: int) -> str:
    """The FAISS factory string for a segment: `auto` is exact fp16 up to a million rows, IVF beyond."""
    if setting != "auto":
        return setting
    if chunks <= _FLAT_LIMIT:
        return "SQfp16"
    return f"IVF{4 * math.isqrt(chunks)},SQfp16"


def write(folder: Path, kind: str, dimension: int, count: int, blocks: Iterable[Float32]) -> None:
    """Write the dense files of a segment from blocks of rows. Raises `ConfigError` for a kind FAISS refuses."""
    try:
        index = faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError:
        raise ConfigError(
            f"segments.dense={kind!r}: not a FAISS index type; use `auto`, `SQfp16`, `Flat`…"
        ) from None
    if _is_flat(index):
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
    _fill(index, rows)
    rows.flush()
    faiss.write_index(index, str(folder / INDEX_FILE))


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


def _fill(index: Any, rows: npt.NDArray[np.float16]) -> None:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    try:
        if not index.is_trained:
            step = max(1, len(rows) // _TRAIN_ROWS)
            index.train(np.ascontiguousarray(rows[::step], dtype=np.float32))
        for start in range(0, len(rows), _VIEW_ROWS):
            index.add(np.ascontiguousarray(rows[start : start + _VIEW_ROWS], dtype=np.float32))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(
            f"segments.dense: FAISS cannot build this index over {len(rows)} rows: {reason}"
        ) from None
    finally:
        faiss.omp_set_num_threads(threads)


class DenseIndex:
    """An open dense leg. `rows`: fp16 or fp32 (n, d), memory-mapped."""

    def __init__(self, folder: Path, chunks: int) -> None:
        """Open the files of a segment. Raises `CorruptIndexError`."""
        path = folder / INDEX_FILE
        try:
            with _READING:
                faiss.set_deserialization_vector_byte_limit(path.stat().st_size)  # no part is larger than the whole
                self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY)
        except (RuntimeError, MemoryError, OSError) as error:
            raise CorruptIndexError(f"{path}: FAISS cannot read it ({_last_line(error)})") from None
        if self._index.ntotal != chunks:
            raise CorruptIndexError(f"{path}: {self._index.ntotal} vectors where the manifest says {chunks} chunks")
        self.dimension: int = self._index.d
        self.rows: npt.NDArray[Any]
        self._views: list[tuple[int, Any]]
        if _is_flat(self._index):
            self.rows = _rows_of(self._index)
            self._views = [
                (start, self._view(start, min(start + _VIEW_ROWS, chunks)))
                for start in range(0, chunks, _VIEW_ROWS)
            ]
        else:
            self.rows = files.map_array(folder / ROWS_FILE, np.float16, 2)
            if self.rows.shape != (chunks, self.dimension):
                raise CorruptIndexError(f"{folder / ROWS_FILE}: shape {self.rows.shape} does not fit {path}")
            self._views = [(0, self._index)]

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

        `queries`: float32 (q, d). `deleted`: True where a chunk is gone or filtered out.
        """
        if self._index.ntotal == 0:
            return [(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in queries]
        depth = min(depth, self._index.ntotal)
        found = list(pool.map(lambda view: self._search_view(view, queries, depth, deleted), self._views))
        results = []
        for row in range(len(queries)):
            ordinals = np.concatenate([part[row] for part in found])
            results.append(self._best(queries[row], ordinals, depth))
        return results

    def _search_view(
        self, view: tuple[int, Any], queries: Float32, depth: int, deleted: Mask | None
    ) -> list[Ordinals]:
        """Per query, every ordinal of this part that could be among the best `depth`, ties included."""
        start, index = view
        selector = None
        if deleted is not None:
            alive = np.packbits(~deleted[start : start + index.ntotal], bitorder="little")
            selector = faiss.IDSelectorBitmap(alive)
        wanted = min(depth + 16, index.ntotal)
        pending = np.arange(len(queries))
        by_query: dict[int, Ordinals] = {}
        while len(pending):
            scores, labels = index.search(queries[pending], wanted, params=_parameters(index, selector))
            unfinished = []
            for query, row_scores, row_labels in zip(pending, scores, labels, strict=True):
                kept = row_labels >= 0
                # Equal scores (repeated texts) may go on below the cut; FAISS would choose among them by position.
                full = bool(kept[-1]) and wanted < index.ntotal
                if full and row_scores[-1] >= row_scores[depth - 1] - _ROUNDING:
                    unfinished.append(query)
                by_query[int(query)] = row_labels[kept].astype(np.int64) + start
            pending = np.array(unfinished, dtype=np.int64)
            wanted = min(wanted * 4, index.ntotal)
        return [by_query[query] for query in range(len(queries))]

    def _best(self, query: Float32, ordinals: Ordinals, depth: int) -> tuple[Ordinals, Float32]:
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


def _parameters(index: Any, selector: Any) -> Any:
    if isinstance(index, faiss.IndexPreTransform):
        inner = _parameters(faiss.downcast_index(index.index), selector)
        return faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=max(8, index.nlist // 32))
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=256)
    return faiss.SearchParameters(sel=selector)


def _is_flat(index: Any) -> bool:
    if isinstance(index, faiss.IndexScalarQuantizer):
        return bool(index.sq.qtype == faiss.ScalarQuantizer.QT_fp16)
    return isinstance(index, faiss.IndexFlat)


def _empty_like(index: Any) -> Any:
    if isinstance(index, faiss.IndexFlat):
        return faiss.IndexFlatIP(index.d)
    return faiss.IndexScalarQuantizer(index.d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _rows_of(index: Any) -> npt.NDArray[Any]:
    dtype = np.float32 if isinstance(index, faiss.IndexFlat) else np.float16
    codes = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    rows: npt.NDArray[Any] = codes.view(dtype).reshape(index.ntotal, index.d)
    return rows


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
