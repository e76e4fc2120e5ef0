"""Files of made-up chunks in a folder, as a segment has them, and hypothesis strategies for what a chunk can be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from pipeline.index.chunks import CHUNKS_FILE, write_table
from pipeline.index.schemas import CHUNK_SCHEMA, chunks_to_table
from pipeline.records import Chunk

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
"""Any text that UTF-8 can say."""

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
METADATA = st.dictionaries(TEXTS, _SCALARS | st.lists(_SCALARS, max_size=3), max_size=3)

CHUNKS = st.builds(
    Chunk,
    chunk_id=TEXTS | st.sampled_from(["a#0", "a#1", "b#0"]),
    doc_id=TEXTS | st.sampled_from(["a", "b", "a#0"]),
    ordinal=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 2),
    start=st.integers(-(2**63), 2**63 - 1),
    end=st.integers(-(2**63), 2**63 - 1),
    text=TEXTS | TEXTS.map(lambda text: text * 40),
    headings=st.lists(TEXTS, max_size=3).map(tuple),
    metadata=METADATA | st.just({}),
    doc_hash=TEXTS,
    source=TEXTS,
    context=TEXTS,
)
"""Chunks that need not fit together, some of which follow each other in a document."""


def write_chunks(folder: Path, chunks: Sequence[Chunk]) -> Path:
    """Write chunks into a folder, which is made; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / CHUNKS_FILE, [chunks_to_table(chunks)] if chunks else [], CHUNK_SCHEMA)
    return folder


def plain_chunks(count: int, per_document: int = 3) -> list[Chunk]:
    """Chunks as a build makes them: documents of `per_document`, with headings and metadata."""
    return [
        Chunk(
            chunk_id=f"doc {number // per_document}#{number % per_document}",
            doc_id=f"doc {number // per_document}",
            ordinal=number % per_document,
            start=number * 10,
            end=number * 10 + 9,
            text=f"chunk {number} of 문서",
            headings=("Top", f"Part {number % 4}")[: number % 3],
            metadata={"lang": "ko", "year": number} if number % 2 else {},
            doc_hash=f"{number // per_document:032x}",
            source="a/file.jsonl",
            context="Top" if number % 3 else "",
        )
        for number in range(count)
    ]
