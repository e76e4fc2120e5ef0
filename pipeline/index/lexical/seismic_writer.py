"""Writing the approximate lexical index of a segment, and measuring how to search it.

It is searched with as little effort as it takes to find a given share of what the exact leg finds, measured on rows
of the segment itself; what was chosen and reached is recorded in the manifest.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError, CorruptIndexError, IndexStoreError
from pipeline.index.choices import LexicalChoice
from pipeline.index.chunks import lexical_blocks
from pipeline.index.lexical import seismic
from pipeline.index.lexical.postings import TokenIds
from pipeline.index.lexical.search import InvertedIndex, SparseQuery
from pipeline.index.lexical.seismic import LEAST_PROPOSED, MEASURED_TOKENS, SEISMIC_FILE, SeismicIndex
from pipeline.index.manifest import SeismicParameters
from pipeline.index.schemas import table_to_sparse
from pipeline.records import SparseRows

_ROWS_FILE = "seismic.rows"
_SAMPLES = 200
_NEIGHBOURS = 10
_EFFORTS = (
    (4, 1.0),
    (4, 0.8),
    (8, 1.0),
    (8, 0.8),
    (16, 1.0),
    (16, 0.9),
    (16, 0.8),
    (16, 0.7),
    (16, 0.5),
    (16, 0.3),
)
"""Tokens looked at and heap factor, cheapest first; a fixed order, no stop-watch: same rows, same choice."""

log = logging.getLogger(__name__)


def check(choice: LexicalChoice, scoring: str) -> None:
    """Refuse a choice that does not suit lexical weights scored as `dot` or `bm25`.

    Raises `ConfigError`, or `MissingDependencyError` where the library is not installed.
    """
    if choice.kind == "exact":
        return
    if scoring == "bm25":
        raise ConfigError(
            "segments.lexical: seismic keeps finished weights, and BM25 has none: they follow from statistics of "
            "the whole live index, which every build changes; use `segments.lexical: exact`, or a model with "
            "lexical weights of its own (encoder.model: BAAI/bge-m3, or a sparse encoder as encoder.lexical)"
        )
    seismic.library()


def write(rows: Path, folder: Path, chunks: int, target: float) -> SeismicParameters | None:
    """Build the file of a segment into `folder`, beside its postings, from the lexical rows in the folder `rows`.

    Returns how to search it, or `None`, and writes nothing, for a segment without any lexical weight.
    Memory: one block of rows here, the library's own in another process, and the finished index while it is tuned.
    Raises `IndexStoreError`, `MissingDependencyError`.
    """
    inverted = InvertedIndex(folder, chunks)
    token_ids = inverted.vocabulary()
    if not len(token_ids):
        return None
    source, path = folder / _ROWS_FILE, folder / SEISMIC_FILE
    try:
        _write_rows(source, rows, token_ids, inverted.largest_weight(), chunks)
        reason = seismic.in_child("seismic.SeismicIndexRawLV.build(sys.argv[1]).save(sys.argv[2])", source, path)
    finally:
        source.unlink(missing_ok=True)
    try:
        if reason is not None:
            raise CorruptIndexError(reason)
        return tune(rows, folder, inverted, target)  # loads it, too: that it was written whole is not said
    except CorruptIndexError as error:
        why = str(error).removeprefix(f"{path}: ").split(";")[0]
        raise IndexStoreError(
            f"{path}: cannot be built, is the disk full or the memory too small? ({why})"
        ) from None


def _write_rows(path: Path, rows: Path, token_ids: TokenIds, largest: float, chunks: int) -> None:
    """The rows as the library reads them: how many; for each a count, components, and weights as float32.

    Weights are divided by the `largest`, since the library keeps them as fp16; that changes no order.
    """
    with path.open("wb") as file:
        file.write(np.array([chunks], "<u4").tobytes())
        for table in lexical_blocks(rows):
            block = table_to_sparse(table)
            counts = np.diff(block.indptr)
            words = np.empty(len(block) + 2 * len(block.token_ids), "<u4")
            heads = np.arange(len(block)) + 2 * block.indptr[:-1]
            words[heads] = counts
            places = np.repeat(heads + 1 - block.indptr[:-1], counts) + np.arange(len(block.token_ids))
            words[places] = np.searchsorted(token_ids, block.token_ids)
            weights = (block.weights / np.float32(largest)).astype("<f4")
            words[places + np.repeat(counts, counts)] = weights.view("<u4")
            file.write(words.data)


def tune(rows: Path, folder: Path, inverted: InvertedIndex, target: float) -> SeismicParameters:
    """The cheapest search that finds `target` of the exact leg's ten best; if none does, the best, with a warning.

    Queries are up to 200 rows spread over the segment, each cut to its 16 heaviest tokens, since a query is shorter
    than a passage; the row that a query was made of counts neither way. Raises `CorruptIndexError`.
    """
    library = seismic.version()
    index = SeismicIndex(folder, SeismicParameters(library, *_EFFORTS[0], 0.0))
    truth = [_Truth(inverted, ordinal, query) for ordinal, query in _queries(rows, inverted.chunks)]
    tried: list[SeismicParameters] = []
    for query_cut, heap_factor in _EFFORTS:
        shares = [one.share(index, query_cut, heap_factor) for one in truth if one.expected]
        recall = float(np.mean(shares)) if shares else 1.0
        tried.append(SeismicParameters(library, query_cut, heap_factor, round(recall, 4)))
        if recall >= target:
            break
    found = max(tried, key=lambda one: one.recall)
    short = found.recall < target
    log.log(
        logging.WARNING if short else logging.INFO,
        "%s: segments.lexical=seismic finds %.3f of the exact leg's ten best%s, looking at %d of %d tokens with "
        "heap factor %g",
        folder,
        found.recall,
        f" at most, recall_target is {target:.3f}" if short else "",
        found.query_cut,
        MEASURED_TOKENS,
        found.heap_factor,
    )
    return found


def _queries(rows: Path, chunks: int) -> list[tuple[int, SparseQuery]]:
    """Sampled rows as queries, with the ordinal of each."""
    wanted = np.unique(np.linspace(0, chunks - 1, min(_SAMPLES, chunks)).astype(np.int64))
    queries = []
    start = 0
    for table in lexical_blocks(rows):
        block = table_to_sparse(table)
        inside = wanted[(wanted >= start) & (wanted < start + len(block))]
        queries += [(int(ordinal), _heaviest(block, int(ordinal) - start)) for ordinal in inside]
        start += len(block)
    return [(ordinal, query) for ordinal, query in queries if len(query.token_ids)]


def _heaviest(block: SparseRows, i: int) -> SparseQuery:
    token_ids, weights = block.row(i)
    kept = np.sort(np.argsort(-weights, kind="stable")[:MEASURED_TOKENS])
    return SparseQuery(token_ids[kept], weights[kept])


class _Truth:
    """A query and the score of the last of its ten best chunks. `expected`: how many there are to find."""

    def __init__(self, inverted: InvertedIndex, ordinal: int, query: SparseQuery) -> None:
        self._inverted, self._ordinal, self._query = inverted, ordinal, query
        ordinals, scores = inverted.search(query, _NEIGHBOURS + 1, None, None)
        others = scores[ordinals != ordinal][:_NEIGHBOURS]
        self.expected = len(others)
        self._cut = others[-1] if len(others) else np.float32(0)

    def share(self, index: SeismicIndex, query_cut: int, heap_factor: float) -> float:
        """How much of it is among the candidates that every search asks for; a tie with the last one counts."""
        found = index.candidates(self._inverted, self._query, LEAST_PROPOSED, query_cut, heap_factor)
        scores = self._inverted.scores(self._query, found[found != self._ordinal], None)
        return min(self.expected, int(np.count_nonzero(scores >= self._cut))) / self.expected
