"""Lexical weights and their inverted index as a component of a segment."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import names
from pipeline.index import chunks as chunk_files
from pipeline.index import files
from pipeline.index.choices import DenseChoice
from pipeline.index.chunks import LEXICAL_FILE, lexical_blocks
from pipeline.index.components.contract import Component, Finding, SegmentSource, Volume
from pipeline.index.components.rows import Ordinals, Place, SegmentShape, inverse, stacked
from pipeline.index.lexical import postings
from pipeline.index.lexical.postings import LENGTHS_FILE, POSTINGS_FILE
from pipeline.index.lexical.search import InvertedIndex
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.schemas import LEXICAL_SCHEMA, sparse_to_table, table_to_sparse
from pipeline.records import Encoded, SparseRows

_BYTES_PER_TOKEN = 16


class LexicalRows:
    """Tables of `LEXICAL_SCHEMA`."""

    block_rows = 8192

    def stage(self, folder: Path, encoded: Encoded, shape: SegmentShape) -> None:
        """Write the weights."""
        import pyarrow.parquet as pq  # where it is needed: a cold query does without it

        if encoded.lexical is not None:
            pq.write_table(sparse_to_table(encoded.lexical), folder / LEXICAL_FILE, compression="zstd")

    def of_shard(self, folder: Path) -> Callable[[Ordinals], pa.Table]:
        """Open the rows of a shard. Memory: one row group beside the result."""
        return _Reader(folder).take

    def of_segment(self, place: Place) -> Callable[[Ordinals], pa.Table]:
        """Open the rows of a segment, as those of a shard."""
        return _Reader(place.folder).take

    def blocks(self, place: Place) -> Iterator[pa.Table]:
        """Return all rows."""
        return lexical_blocks(place.folder)

    def joined(self, pieces: Sequence[pa.Table], order: Ordinals) -> Iterable[pa.Table]:
        """Stack tables."""
        return [stacked(pieces, order)]

    def is_good_enough(self, place: Place, shape: SegmentShape) -> bool:
        """Whether the rows are exact, which they always are."""
        return True


class LexicalComponent(Component[InvertedIndex]):
    """Durable rows, and postings and lengths that follow from them."""

    name = names.LEXICAL
    file_names = (LEXICAL_FILE, POSTINGS_FILE, LENGTHS_FILE)
    rows = LexicalRows()

    def is_wanted(self, shape: SegmentShape) -> bool:
        """Whether weights are stored."""
        return shape.has_lexical

    def needed(self, manifest: Manifest, entry: SegmentEntry) -> tuple[str, ...]:
        """Return all three files."""
        wanted = manifest.fingerprint(self.name) is not None
        return (LEXICAL_FILE, POSTINGS_FILE, LENGTHS_FILE) if wanted else ()

    def write(self, folder: Path, source: SegmentSource, shape: SegmentShape) -> None:
        """Write the rows and what follows from them."""
        tables = source.blocks(self.rows)
        chunk_files.write_table(folder / LEXICAL_FILE, tables, LEXICAL_SCHEMA, group_rows=16_384)
        derive(folder, folder)

    def open(self, place: Place, verified: bool) -> InvertedIndex:
        """Map the postings; `verified` ones are read once, for chunks that are not there."""
        inverted = InvertedIndex(place.folder, place.entry.chunks)
        if verified:
            inverted.check_ordinals()
        return inverted

    def identity(self, shape: SegmentShape) -> None:
        """Return nothing: the fingerprint says it all."""

    def check(self, place: Place, manifest: Manifest) -> Iterator[Finding]:
        """Compare weights, order of tokens, number of rows, and the derived files with those that the rows give."""
        if not place.is_sound(LEXICAL_FILE):
            return
        rows = 0
        for table in lexical_blocks(place.folder):
            table.validate(full=True)
            block = table_to_sparse(table)
            rows += len(block)
            for reason in _wrong(block):
                yield LEXICAL_FILE, reason
        if rows != place.entry.chunks:
            yield LEXICAL_FILE, f"{rows} rows where the manifest says {place.entry.chunks} chunks"
            return
        with tempfile.TemporaryDirectory(prefix="hybrid-pipeline-verify-") as name:
            derive(place.folder, Path(name))
            for fresh in sorted(Path(name).iterdir()):
                if place.is_sound(fresh.name) and not _same_content(fresh, place.folder / fresh.name):
                    yield fresh.name, f"differs from what {LEXICAL_FILE} gives; `pipeline repair` rebuilds it"

    def rebuild(self, place: Place, into: Path, choice: DenseChoice) -> SegmentEntry:
        """Write postings and lengths anew from the rows."""
        if place.damaged & {POSTINGS_FILE, LENGTHS_FILE} and place.is_sound(LEXICAL_FILE):
            derive(place.folder, into)
        return place.entry

    def estimated_bytes(self, volume: Volume, shape: SegmentShape) -> int:
        """Estimate the size of rows and postings."""
        return volume.tokens * _BYTES_PER_TOKEN if self.is_wanted(shape) else 0


def derive(folder: Path, into: Path) -> None:
    """Write the derived lexical files of a segment (postings, lengths) from its durable rows."""
    postings.write(into, (table_to_sparse(table) for table in lexical_blocks(folder)))


def _wrong(block: SparseRows) -> Iterator[str]:
    if not (np.isfinite(block.weights).all() and (block.weights > 0).all()):
        yield "holds weights that are not positive numbers"
    if len(block.token_ids) != len(block.weights):
        yield "has rows with more token ids than weights, or fewer"
    ascending = block.token_ids[1:] > block.token_ids[:-1]
    inside = np.ones(len(ascending), np.bool_)
    borders = block.indptr[1:-1] - 1
    inside[borders[(borders >= 0) & (borders < len(inside))]] = False
    if not ascending[inside].all():
        yield "has rows whose token ids do not ascend"


def _same_content(left: Path, right: Path) -> bool:
    """Equal bytes, or equal Arrow batches: another library version may lay out the same content differently."""
    if left.stat().st_size == right.stat().st_size and files.checksum(left) == files.checksum(right):
        return True
    if left.suffix != ".arrow":
        return False
    with pa.memory_map(str(left)) as one, pa.memory_map(str(right)) as other:
        mine, theirs = pa.ipc.open_file(one), pa.ipc.open_file(other)
        if mine.num_record_batches != theirs.num_record_batches or mine.schema != theirs.schema:
            return False
        for i in range(mine.num_record_batches):
            batch = theirs.get_batch(i)
            batch.validate(full=True)  # offsets made to mislead would be followed out of the file
            if not batch.equals(mine.get_batch(i)):
                return False
        return True


class _Reader:
    """The lexical rows in a folder by position. Raises `CorruptIndexError`."""

    def __init__(self, folder: Path) -> None:
        import pyarrow.parquet as pq

        self._path = folder / LEXICAL_FILE
        try:
            self._file = pq.ParquetFile(self._path, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise self._damage(error) from None
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.metadata.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])
        self._group = lru_cache(1)(self._read_group)

    def take(self, rows: Ordinals) -> pa.Table:
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        pieces = [
            self._group(int(group)).take(rows[groups == group] - self._starts[group]) for group in np.unique(groups)
        ]
        return stacked(pieces, inverse(groups)) if pieces else LEXICAL_SCHEMA.empty_table()

    def _read_group(self, group: int) -> pa.Table:
        try:
            table = self._file.read_row_group(group, use_threads=False)
            table.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            raise self._damage(error) from None
        return table

    def _damage(self, error: Exception) -> Exception:
        return files.damage(error, f"{self._path}: cannot be read ({error}); `pipeline build --full`")


LEXICAL = LexicalComponent()
