"""The staging area of an index: where ingest and encode meet.

    staging/ingest/part-00000.parquet …   chunks still to encode, in order
    staging/ingest/ingest.json            what the parts hold; the folder appears under its name only when complete
    staging/shards/<key>/                a part encoded: dense.npy, lexical.parquet, multivector.arrow, shard.json

A shard's key is a hash of its texts and of the encoder's fingerprints, so a shard left by an interrupted build is
found again exactly when it still fits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from pipeline.errors import CorruptIndexError
from pipeline.index import files, multivector
from pipeline.index.chunks import LEXICAL_FILE, lexical_blocks, read_blocks
from pipeline.index.manifest import FileEntry
from pipeline.index.multivector import Precision
from pipeline.index.schemas import CHUNK_SCHEMA, sparse_to_table
from pipeline.records import Encoded, Fingerprint, Float32

STAGING = "staging"
_SUMMARY = "ingest.json"
_SHARD_SUMMARY = "shard.json"
_DENSE = "dense.npy"
_BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class StagedIngest:
    """What an ingest left to encode.

    `full`: takes nothing over from the live generation. `held`: live documents kept although the sources lack them,
    because the file they came from was rejected. `removed`: ids of live documents that are gone or replaced.
    """

    base_generation: int
    full: bool
    parts: tuple[FileEntry, ...]
    chunks: int
    chunker: dict[str, str]
    read: int
    added: int
    changed: int
    unchanged: int
    deleted: int
    held: int
    rejected: int
    removed: tuple[str, ...]

    @property
    def nothing_to_do(self) -> bool:
        """Whether the live generation already is what the sources say."""
        return not self.parts and not self.removed


@cache
def _adapter() -> TypeAdapter[StagedIngest]:
    return TypeAdapter(StagedIngest)


def ingest_folder(index: Path) -> Path:
    """Where a complete ingest stands."""
    return index / STAGING / "ingest"


def save_ingest(folder: Path, staged: StagedIngest) -> None:
    """Write the summary of an ingest beside its parts."""
    files.write_file(folder / _SUMMARY, _adapter().dump_json(staged, indent=1))


def load_ingest(index: Path) -> StagedIngest | None:
    """The complete ingest that waits to be encoded, if any. Raises `CorruptIndexError`."""
    folder = ingest_folder(index)
    path = folder / _SUMMARY
    if not path.exists():
        return None
    try:
        staged = _adapter().validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CorruptIndexError(f"{path}: cannot be read ({error}); run `pipeline ingest` again") from None
    for part in staged.parts:
        if files.checksum(files.regular_file(folder / part.name, part.size)) != part.checksum:
            raise CorruptIndexError(f"{folder / part.name}: damaged; run `pipeline ingest` again")
    return staged


def shard_key(part: Path, fingerprints: Sequence[Fingerprint]) -> str:
    """Key of a part's shard: 128 bits over its texts and the encoder's fingerprints, hex."""
    digest = hashlib.blake2b(digest_size=16)
    for fingerprint in fingerprints:
        digest.update(fingerprint.digest.encode())
    for value in pq.read_table(part, columns=["text_hash"]).column(0).to_pylist():
        digest.update(value)
    return digest.hexdigest()


def shard_folder(index: Path, key: str) -> Path:
    """Where a finished shard stands."""
    return index / STAGING / "shards" / key


def is_finished(shard: Path) -> bool:
    """Whether a shard is complete and undamaged."""
    try:
        entries = json.loads((shard / _SHARD_SUMMARY).read_bytes())
        return all(files.checksum(shard / name) == value for name, value in entries.items())
    except (OSError, ValueError):
        return False


def write_shard(shard: Path, encoded: Encoded, multivectors: Precision = "int8") -> None:
    """Write an encoded part, all or nothing; multi-vectors in the given precision."""
    with files.new_folder(shard) as folder:
        if encoded.dense is not None:
            np.save(folder / _DENSE, encoded.dense.astype(np.float32), allow_pickle=False)
        if encoded.lexical is not None:
            pq.write_table(sparse_to_table(encoded.lexical), folder / LEXICAL_FILE, compression="zstd")
        if encoded.multivectors is not None:
            batches = (multivector.to_batch(rows, multivectors) for rows in multivector.split(encoded.multivectors))
            multivector.write(folder / multivector.MULTIVECTOR_FILE, batches)
        entries = {path.name: files.checksum(path) for path in sorted(folder.iterdir())}
        files.write_file(folder / _SHARD_SUMMARY, json.dumps(entries).encode())


@dataclass(frozen=True, slots=True)
class StagedSource:
    """Parts and their shards as the content of a new segment."""

    parts: tuple[Path, ...]
    shards: tuple[Path, ...]
    count: int

    def chunk_tables(self) -> Iterator[pa.Table]:
        """Tables of `CHUNK_SCHEMA`."""
        for part in self.parts:
            yield from read_blocks(part, CHUNK_SCHEMA, _BLOCK_ROWS)

    def dense_blocks(self) -> Iterator[Float32]:
        """Blocks of dense rows."""
        for shard in self.shards:
            yield np.load(shard / _DENSE, mmap_mode="r", allow_pickle=False)

    def lexical_tables(self) -> Iterator[pa.Table]:
        """Tables of `LEXICAL_SCHEMA`."""
        for shard in self.shards:
            yield from lexical_blocks(shard)

    def multivector_batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of the multi-vector file."""
        for shard in self.shards:
            yield from multivector.read_batches(shard / multivector.MULTIVECTOR_FILE)


def discard_ingest(index: Path) -> None:
    """Remove a staged ingest; finished shards stay for the next one."""
    files.remove_folder(ingest_folder(index))


def clear(index: Path) -> None:
    """Remove everything staged."""
    files.remove_folder(index / STAGING)
