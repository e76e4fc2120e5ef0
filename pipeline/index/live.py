"""The documents of a generation, and what each source file gave of them, without a record for each document.

Two builds out of three find nothing changed. They need to know only whether each file's documents are those that it
gave before: a digest for each file says so, and is made of whole columns. Records are made when one is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipeline.index.manifest import Manifest
from pipeline.index.schemas import as_array, mask_array
from pipeline.index.segment import Segment

_COLUMNS = ("doc_id", "doc_hash", "source", "ordinal")
_BETWEEN = "\0"
_DIGEST_BYTES = 16
_LIMBS = 8
"""A digest is summed in numbers of 16 bits: sums of 2^37 of them are exact as a float64."""

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class LiveDocument:
    """A document as a generation has it: its content hash and the file it came from."""

    content_hash: str
    source: str


class Contents:
    """128 bits over the ids and content hashes of a file's documents, in whatever order they come."""

    def __init__(self) -> None:
        self._total = 0

    def add(self, doc_id: str, content_hash: str) -> None:
        """One more document."""
        payload = f"{content_hash}{doc_id}".encode("utf-8", "surrogatepass")
        self._total += int.from_bytes(xxhash.xxh3_128_digest(payload), "little")

    @property
    def digest(self) -> bytes:
        """Digest of all that were added."""
        return (self._total % (1 << 8 * _DIGEST_BYTES)).to_bytes(_DIGEST_BYTES, "little")


@dataclass(frozen=True, slots=True)
class SourceContents:
    """What a generation has of one source file: how many documents, and their digest as `Contents` makes it."""

    documents: int
    digest: bytes


class DocumentKeys:
    """Which documents are known, by 128 bits over each one's id, content hash and file. Memory: 16 bytes each."""

    def __init__(self, keys: npt.NDArray[np.uint64]) -> None:
        """`keys`: uint64 (n, 2), ascending in the first column."""
        self._keys = keys

    @classmethod
    def of(cls, data: bytes) -> DocumentKeys:
        """Those of `to_bytes`."""
        return cls(np.frombuffer(data, np.uint64).reshape(-1, 2))

    def to_bytes(self) -> bytes:
        """All of them, for another process."""
        return self._keys.tobytes()

    def __len__(self) -> int:
        return len(self._keys)

    def has(self, doc_id: str, content_hash: str, source: str) -> bool:
        """Whether this document is among them as it is."""
        return self.place(doc_id, content_hash, source) is not None

    def place(self, doc_id: str, content_hash: str, source: str) -> int | None:
        """The row of this document's key, `None` if it is not among them."""
        if not len(self._keys):
            return None
        payload = _BETWEEN.join((content_hash, doc_id, source)).encode("utf-8", "surrogatepass")
        first, second = np.frombuffer(xxhash.xxh3_128_digest(payload), np.uint64)
        low, high = (int(np.searchsorted(self._keys[:, 0], first, side)) for side in ("left", "right"))
        found = np.flatnonzero(self._keys[low:high, 1] == second)
        return low + int(found[0]) if len(found) else None

    def with_others(self, others: DocumentKeys) -> DocumentKeys:
        """Those of both."""
        keys = np.concatenate([self._keys, others._keys])
        return DocumentKeys(keys[np.argsort(keys[:, 0], kind="stable")])


class LiveDocuments(Mapping[str, LiveDocument]):
    """Every document of a generation by its id; none of no generation.

    A document stands in one file, and has a chunk of ordinal 0. Where a chunker gave other ordinals, the contents
    of its file are as if they had changed: it is read, and its documents are compared one by one.
    """

    def __init__(self, index: Path, manifest: Manifest | None) -> None:
        """Read the columns that say which document each live chunk is of. Raises `CorruptIndexError`."""
        entries = manifest.segments if manifest else ()
        tables = [_chunk_documents(Segment(index, entry, verify=False)) for entry in entries]
        self._chunks: pa.Table | None = pa.concat_tables(tables) if tables else None
        self._documents: dict[str, LiveDocument] | None = None
        every = self._chunks["source"] if self._chunks is not None else None
        sources = every.dictionary_encode().unify_dictionaries().chunks if every is not None else []
        self._sources: list[str] = sources[0].dictionary.to_pylist() if sources else []
        self._source = _joined(chunk.indices for chunk in sources)

    def _all(self) -> dict[str, LiveDocument]:
        if self._documents is None:
            self._documents = dict(_records(self._chunks))
        return self._documents

    def __getitem__(self, doc_id: str) -> LiveDocument:
        return self._all()[doc_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def elsewhere(self, sources: Collection[str]) -> dict[str, LiveDocument]:
        """The documents that come from files other than these."""
        is_else = np.array([source not in sources for source in self._sources], np.bool_)
        if self._chunks is None or not is_else.any():
            return {}
        return dict(_records(self._chunks.filter(mask_array(is_else[self._source]))))

    def by_source(self) -> dict[str, SourceContents]:
        """What is live of each source file."""
        if self._chunks is None:
            return {}
        is_first = _joined(self._chunks["ordinal"].chunks) == 0
        return contents_of(self._chunks.filter(mask_array(is_first)), self._sources, self._source[is_first])

    def document_keys(self) -> DocumentKeys:
        """What tells, in another process, whether a document is live as it is."""
        if self._chunks is None:
            return DocumentKeys(np.zeros((0, 2), np.uint64))
        is_first = _joined(self._chunks["ordinal"].chunks) == 0
        documents = self._chunks.filter(mask_array(is_first))
        keys = keys_of(documents)
        return DocumentKeys(keys[np.argsort(keys[:, 0], kind="stable")])


def contents_of(documents: pa.Table, sources: Sequence[str], codes: Codes) -> dict[str, SourceContents]:
    """What each file has. `documents`: the columns `doc_id` and `doc_hash`; `codes`: which file each is of."""
    each = np.frombuffer(_digests(documents, ("doc_hash", "doc_id")), "<u2").reshape(-1, _LIMBS)
    digests = _summed(each, codes, len(sources)).view(f"V{_DIGEST_BYTES}")[:, 0].tolist()
    counts = np.bincount(codes, minlength=len(sources)).tolist()
    return {
        name: SourceContents(number, digest) for name, number, digest in zip(sources, counts, digests, strict=True)
    }


def keys_of(documents: pa.Table) -> npt.NDArray[np.uint64]:
    """The key of each document, as `DocumentKeys` has them: uint64 (n, 2), in the order of the table's rows.

    `documents`: the columns `doc_id`, `doc_hash` and `source`, a row a document.
    """
    digests = _digests(documents, ("doc_hash", "doc_id", "source"), _BETWEEN)
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)


def _chunk_documents(segment: Segment) -> pa.Table:
    """Which document each live chunk of a segment is of."""
    table = segment.store.columns(_COLUMNS)
    return table if segment.deleted is None else table.filter(mask_array(~segment.deleted))


def _records(chunks: pa.Table | None) -> Iterator[tuple[str, LiveDocument]]:
    for batch in chunks.to_batches() if chunks is not None else ():
        columns = (batch.column(name).to_pylist() for name in _COLUMNS[:3])
        last = None
        for doc_id, content_hash, source in zip(*columns, strict=True):
            if doc_id != last:
                yield doc_id, LiveDocument(content_hash, source)
            last = doc_id


def _digests(documents: pa.Table, names: Sequence[str], between: str = "") -> bytes:
    """XXH3-128 of these columns of each document, joined."""
    digest, parts = xxhash.xxh3_128_digest, []
    for batch in documents.to_batches():
        separators = _repeated(between.encode(), len(batch))
        payloads = pc.binary_join_element_wise(*(batch.column(name) for name in names), separators)
        parts.append(b"".join(map(digest, payloads.cast(pa.binary()).to_pylist())))
    return b"".join(parts)


def _repeated(text: bytes, count: int) -> pa.Array:
    """So many times the same text. `pa.array` and scalars would import pandas."""
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(len(text))
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text * count))


def _summed(digests: npt.NDArray[np.uint16], codes: Codes, count: int) -> npt.NDArray[np.uint16]:
    """Sum of the digests of each code, without what is beyond 128 bits."""
    total, carry = np.zeros((count, _LIMBS), "<u2"), np.zeros(count, np.int64)
    for limb in range(_LIMBS):
        carry += np.bincount(codes, digests[:, limb], count).astype(np.int64)
        total[:, limb] = carry & 0xFFFF
        carry >>= 16
    return total


def _joined(arrays: Iterable[pa.Array]) -> Codes:
    return np.concatenate([np.zeros(0, np.int32), *map(as_array, arrays)])
