"""The words of a segment, made of its chunks: what a mistyped word may have been meant to be."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.index.chunks import CHUNKS_FILE, column_blocks
from pipeline.index.words.nearness import Signatures, decomposed, letters_of, signatures
from pipeline.index.words.spans import spelled_words

WORDS_FILE = "words.arrow"
VERSION = {"hybrid-pipeline words": "1"}
"""The schema metadata of a file of words."""
SCHEMA = pa.schema(
    [
        pa.field("word", pa.large_string(), nullable=False),
        pa.field("length", pa.uint8(), nullable=False),
        pa.field("signature", pa.uint64(), nullable=False),
    ],
    VERSION,
)
SHORTEST, LONGEST = 4, 64
"""Letters of the words that are kept."""

_BLOCK_ROWS = 1024
_BLOCK_WORDS = 1 << 16


def derive(folder: Path) -> pa.RecordBatch:
    """Make the words of the segment in a folder. Raises `CorruptIndexError`. Memory: the distinct words."""
    path = folder / CHUNKS_FILE
    found: set[str] = set()
    for table in column_blocks(path, ("context", "text"), _BLOCK_ROWS):  # older chunks have no context
        found |= spelled_words(text for column in table.columns for text in set(column.to_pylist()))
    return words_of(found)


def words_of(found: Iterable[str]) -> pa.RecordBatch:
    """Make a batch of `SCHEMA` of case-folded words: those of letters alone, by length, then by themselves."""
    by_length: dict[int, list[str]] = defaultdict(list)
    for word in found:
        if (word if word.isascii() else unicodedata.normalize("NFC", word)).isalpha():
            by_length[len(decomposed(word))].append(word)
    kept = {length: sorted(by_length[length]) for length in range(SHORTEST, LONGEST + 1)}
    marks: list[Signatures] = [np.zeros(0, np.uint64)]
    for words in kept.values():
        blocks = (words[start : start + _BLOCK_WORDS] for start in range(0, len(words), _BLOCK_WORDS))
        marks += [signatures(letters_of(list(map(decomposed, block)))) for block in blocks]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(list(chain.from_iterable(kept.values())), pa.large_string()),
            pa.array(np.repeat(np.array(list(kept), np.uint8), list(map(len, kept.values())))),
            pa.array(np.concatenate(marks)),
        ],
        schema=SCHEMA,
    )


def write(path: Path, batch: pa.RecordBatch) -> None:
    """Write words as a file."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
