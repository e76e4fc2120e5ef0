"""The staging area of an index: where ingest and encode meet.

    staging/ingest/part-00000.parquet …   chunks still to encode, in order
    staging/ingest/part-00000.given.parquet …   their vectors, where the sources give them
    staging/ingest/ingest.json            what the parts hold; the folder appears under its name only when complete
    staging/cut/                          parts of an ingest that is not complete (cut/parts.py)
    staging/ingest/plan.json              the shards that other machines are to encode (encode/shard_plan.py)
    staging/texts/<key>.parquet           the texts of a part that are to be encoded, if not all of them are
    staging/shards/<key>/                 texts encoded: text-hashes.npy, dense.npy, lexical.parquet,
                                          multivector.arrow; shard.json with checksums and fingerprints

A shard knows its texts by hash, so whatever an interrupted build had encoded is used by the next one, even if the
sources have changed meanwhile. Dense rows have the type that the segment will store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import TypeAdapter

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.components.registry import components
from pipeline.index.components.rows import SegmentShape
from pipeline.index.manifest import FileEntry, digest
from pipeline.records import Encoded, Fingerprint

STAGING = "staging"
SUMMARY = "ingest.json"
SHARD_SUMMARY = "shard.json"
_HASHES = "text-hashes.npy"

TextHashes = npt.NDArray[np.bytes_]
"""BLAKE2b-128 of texts: S16 (n,)."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How the documents of the sources differ from those of the live generation: how many of each kind.

    `moved`: old and new id of documents whose content is the same; they count neither as added nor as deleted.
    """

    added: int
    changed: int
    unchanged: int
    deleted: int
    moved: tuple[tuple[str, str], ...] = ()

    @property
    def remaining(self) -> int:
        """Documents that were live before and still are in the sources, changed or not."""
        return self.unchanged + self.changed + len(self.moved)


_COUNTERS = tuple(field.name for field in fields(Changes))


@dataclass(frozen=True, slots=True)
class StagedIngest:
    """What an ingest left to encode.

    `full`: takes nothing over from the live generation. `held`: live documents kept although the sources lack them,
    because the file they came from was rejected. `removed`: ids of live documents that are gone or replaced.
    `given`: the files of vectors beside the parts, where the sources give them.
    """

    base_generation: int
    full: bool
    parts: tuple[FileEntry, ...]
    chunks: int
    chunker: dict[str, str]
    read: int
    changes: Changes
    held: int
    rejected: int
    removed: tuple[str, ...]
    given: tuple[FileEntry, ...] = ()

    @property
    def documents_before(self) -> int:
        """Documents of the generation that the sources were compared with."""
        return self.changes.remaining + self.changes.deleted + self.held

    @property
    def documents(self) -> int:
        """Documents of the generation that follows."""
        return self.changes.remaining + self.changes.added + self.held

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
    """Write the summary of an ingest beside its parts, with a checksum of itself: it says what is to be removed."""
    body = _adapter().dump_python(staged, mode="json")
    body |= body.pop("changes")
    text = json.dumps({**body, "checksum": digest(body)}, ensure_ascii=False, indent=1)
    files.write_file(folder / SUMMARY, text.encode("utf-8", "surrogatepass"))


def load_ingest(index: Path) -> StagedIngest | None:
    """The complete ingest that waits to be encoded, if any. Raises `CorruptIndexError`."""
    folder = ingest_folder(index)
    path = folder / SUMMARY
    if not path.exists():
        return None
    try:
        payload = json.loads(path.read_bytes())
        if payload.pop("checksum") != digest(payload):
            raise ValueError("its checksum does not match")
        payload["changes"] = {name: payload.pop(name) for name in _COUNTERS}
        staged = _adapter().validate_python(payload)
        for part in (*staged.parts, *staged.given):
            path = folder / part.name
            if files.checksum(files.regular_file(path, part.size)) != part.checksum:
                raise ValueError("its checksum does not match")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, CorruptIndexError) as error:
        reason = str(error).splitlines()[0].removeprefix(f"{path}: ").split(";")[0]
        raise CorruptIndexError(f"{path}: damaged ({reason}); run `pipeline ingest` again") from None
    return staged


def text_hashes(path: Path) -> TextHashes:
    """The hashes of the texts of a chunk file, in order. Raises `CorruptIndexError`."""
    import pyarrow.parquet as pq  # where it is needed: a cold query does without it

    try:
        column = pq.read_table(path, columns=["text_hash"]).column(0).combine_chunks()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise files.damage(error, f"{path}: cannot be read ({error}); `pipeline build --full`") from None
    if column.type != pa.binary(16) or column.null_count:
        raise CorruptIndexError(f"{path}: has no text hashes; `pipeline build --full`")
    buffer = column.buffers()[1]
    every = np.frombuffer(buffer, "S16") if buffer is not None else np.zeros(0, "S16")
    return every[column.offset : column.offset + len(column)]


def shard_key(hashes: TextHashes, fingerprints: Sequence[Fingerprint]) -> str:
    """Key of a shard: 128 bits over its texts and the encoder's fingerprints, hex."""
    digest = hashlib.blake2b(digest_size=16)
    for fingerprint in fingerprints:
        digest.update(fingerprint.digest.encode())
    digest.update(hashes.tobytes())
    return digest.hexdigest()


def shard_folder(index: Path, key: str) -> Path:
    """Where a finished shard stands."""
    return index / STAGING / "shards" / key


def shard_folders(index: Path) -> list[Path]:
    """All shards that stand there, in a fixed order."""
    return sorted(path.parent for path in (index / STAGING / "shards").glob("[!.]*/" + SHARD_SUMMARY))


def discard_shards(index: Path, keep: Collection[Path]) -> None:
    """Remove the finished shards that are not in `keep`: failed builds must not fill the disk."""
    for shard in shard_folders(index):
        if shard not in keep:
            files.remove_folder(shard)


def texts_file(index: Path, key: str) -> Path:
    """Where the texts of a shard stand, if they are not a whole part."""
    return index / STAGING / "texts" / f"{key}.parquet"


def is_finished(shard: Path, fingerprints: Sequence[Fingerprint] | None = None) -> bool:
    """Whether a shard is complete and undamaged, and of these fingerprints if they are given."""
    try:
        summary = json.loads((shard / SHARD_SUMMARY).read_bytes())
        fits = fingerprints is None or summary["fingerprints"] == [f.digest for f in fingerprints]
        return fits and all(files.checksum(shard / name) == value for name, value in summary["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def shard_checksum(shard: Path) -> str:
    """Checksum of a finished shard: of its record, which has those of its files. Raises `OSError`."""
    return files.checksum(shard / SHARD_SUMMARY)


def holds(shard: Path, fingerprints: Sequence[Fingerprint]) -> bool:
    """Whether a shard is finished and undamaged, and has the texts and fingerprints that its name says."""
    try:
        return is_finished(shard, fingerprints) and shard_key(shard_hashes(shard), fingerprints) == shard.name
    except CorruptIndexError:
        return False


def shard_hashes(shard: Path) -> TextHashes:
    """The hashes of a shard's texts. Raises `CorruptIndexError`."""
    rows = files.read_array(shard / _HASHES, np.uint8, 2)
    return np.ascontiguousarray(rows).view("S16")[:, 0] if len(rows) else np.zeros(0, "S16")


def write_shard(
    shard: Path, encoded: Encoded, hashes: TextHashes, fingerprints: Sequence[Fingerprint], shape: SegmentShape
) -> None:
    """Write encoded texts, all or nothing, as a segment of this shape will store them.

    Several writers may write the same shard: the first one that is done keeps its place.
    """
    with files.new_folder(shard, keep=lambda there: is_finished(there, fingerprints)) as folder:
        np.save(folder / _HASHES, hashes.view(np.uint8).reshape(len(hashes), -1), allow_pickle=False)
        for component in components():
            if component.rows is not None:
                component.rows.stage(folder, encoded, shape)
        summary = {
            "fingerprints": [fingerprint.digest for fingerprint in fingerprints],
            "files": {path.name: files.checksum(path) for path in sorted(folder.iterdir())},
        }
        files.write_file(folder / SHARD_SUMMARY, json.dumps(summary).encode())


def discard_ingest(index: Path) -> None:
    """Remove a staged ingest; finished shards stay for the next one."""
    files.remove_folder(ingest_folder(index))


def clear(index: Path) -> None:
    """Remove everything staged."""
    files.remove_folder(index / STAGING)
