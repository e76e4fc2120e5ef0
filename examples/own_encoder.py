"""An encoder and a chunker of your own, passed as objects: hashed letters, BM25 beside them, a chunk a sentence.

    python examples/own_encoder.py

Downloads nothing. The encoder counts runs of three letters, which is no model, and finds the same words again.
"""

from __future__ import annotations

import json
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tutorial import TEXTS, hybrid_ranking

import pipeline
from pipeline.ingest.cutting.contract import chunks_of
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.encoder import MixedEncoder
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.records import Chunk, Document, Encoded, Fingerprint

DIMENSION = 512


class Trigrams:
    """Dense vectors alone: how often each run of three letters stands in a text, hashed."""

    dense_fingerprint = Fingerprint.of(kind="trigrams", version=1, dimension=DIMENSION)
    lexical_fingerprint = None
    dimension = DIMENSION
    gives_multivectors = False
    lexical_scoring = LexicalScoring("dot")
    runtime = Runtime("python", "cpu", "f32")

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Rows of length 1."""
        rows = np.full((len(texts), DIMENSION), 1e-6, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for start in range(len(text) - 2):
                row[zlib.crc32(text[start : start + 3].lower().encode()) % DIMENSION] += 1
        return Encoded(dense=rows / np.linalg.norm(rows, axis=1, keepdims=True))

    encode_queries = encode_documents

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """There is no lexical side to describe."""
        return {}


class Sentences:
    """A chunk for each sentence, whatever its length."""

    fingerprint = Fingerprint.of(kind="sentences", version=1)

    def chunk(self, document: Document) -> Iterator[Chunk]:
        """The sentences in order."""
        return chunks_of(document, (found.span() for found in re.finditer(r"\S[^.!?]*[.!?]*", document.text)))


def main() -> list[pipeline.Hit]:
    """Build, search, print; see the module's text."""
    encoder = MixedEncoder(Trigrams(), Bm25Encoder())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [json.dumps({"id": str(i), "text": text}, ensure_ascii=False) for i, text in enumerate(TEXTS)]
        (folder / "texts.jsonl").write_text("\n".join(lines), "utf-8")
        config = pipeline.parse_config({"sources": [{"path": "texts.jsonl"}]}, base=folder)
        pipeline.build(config, encoder=encoder, chunker=Sentences())
        with pipeline.open_index(config.index_path, encoder=encoder) as index:
            return hybrid_ranking(index)


if __name__ == "__main__":
    main()
