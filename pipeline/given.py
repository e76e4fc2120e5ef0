"""What a source gives beside its texts when they were encoded elsewhere, and the columns that it stands in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

PRECOMPUTED = "precomputed"
"""As `encoder.model`, as the kind of a fingerprint, and in those of what is compared with what a model makes."""

VECTOR, TOKEN_IDS, WEIGHTS, MULTIVECTORS = "vector", "token_ids", "weights", "multivectors"
CHUNK_ORDINAL, CHUNK_START, CHUNK_END = "chunk_ordinal", "chunk_start", "chunk_end"
CHUNK_HEADINGS, CHUNK_CONTEXT, CHUNK_METADATA = "chunk_headings", "chunk_context", "chunk_metadata"
CHUNK_SOURCE = "chunk_source"
CHUNK_COLUMNS = frozenset(
    {CHUNK_ORDINAL, CHUNK_START, CHUNK_END, CHUNK_HEADINGS, CHUNK_CONTEXT, CHUNK_METADATA, CHUNK_SOURCE}
)
"""What a row may say of its chunk; none of it is metadata. `chunk_source` is for other readers: a hit's source is
the file that the row stands in."""

MADE_BY = "hybrid-pipeline.made-by"
"""Metadata of an exported file: by leg, the fingerprint of what made its vectors, as a JSON object."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every row has to give. `dimension`: of its vector. `lexical`: whether it has weights of tokens.

    `token_dimension`: of its multi-vectors, `None` where none are wanted.
    """

    dimension: int
    lexical: bool = False
    token_dimension: int | None = None


@dataclass(frozen=True, slots=True)
class GivenVectors:
    """What a row gives, as the bytes of arrays.

    `dense`: float32 (d,). `token_ids`: uint64, ascending; `weights`: float32, of these tokens. `multivectors`:
    float32 (tokens, d). Empty where nothing is wanted.
    """

    dense: bytes
    token_ids: bytes = b""
    weights: bytes = b""
    multivectors: bytes = b""

    @property
    def digest(self) -> bytes:
        """64 bits over all of it."""
        digest = hashlib.blake2b(digest_size=8)
        for part in (self.dense, self.token_ids, self.weights, self.multivectors):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.digest()


def row_hash(encoded_text: str, vectors: GivenVectors) -> bytes:
    """16 bytes that stand for a text and what was given with it: of the text first, then of the vectors."""
    return text_part(encoded_text) + vectors.digest


def text_part(encoded_text: str) -> bytes:
    """The part of `row_hash` that is of the text."""
    return hashlib.blake2b(encoded_text.encode("utf-8"), digest_size=8).digest()
