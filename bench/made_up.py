"""A made-up collection of any size: documents of two chunks with Zipf words and metadata, and an encoder for them.

The encoder's vectors are made of the texts' hashes in microseconds, clustered as real ones are, and the words are
those of the real BM25 side, so that everything but the model is measured at its real cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.encoder import MixedEncoder
from pipeline.models.contract import Encoder, LexicalScoring, Runtime
from pipeline.records import Encoded, Fingerprint, Float32

VOCABULARY = 50_000
WORDS = 80
"""Of a chunk: some 200 tokens of the embedded model."""
CHUNKS = 2
"""Of a document."""
CLUSTERS, POOL = 200, 4096
LANGUAGES = ("en", "ko", "de", "fr", "ja")
TAGS = tuple(f"tag{i:02d}" for i in range(40))
FILTER = "lang = 'ko' and year >= 2015"
"""Keeps one document in ten."""
BLOCK = 2000


class Vectors:
    """Dense only: a text's vector is a function of the text. Near each other are the texts of one cluster."""

    lexical_fingerprint = None
    gives_multivectors = False
    lexical_scoring = LexicalScoring("dot")
    runtime = Runtime("numpy", "cpu", "f32")
    combines_queries = True

    def __init__(self, dimension: int, fingerprint: Fingerprint | None = None) -> None:
        """`fingerprint`: of a real model, so that it can encode queries on the same index."""
        rng = np.random.default_rng(0)
        self.dimension = dimension
        self.dense_fingerprint = fingerprint or Fingerprint.of(kind="made-up", dimension=dimension)
        self._centres = rng.standard_normal((CLUSTERS, dimension), np.float32)
        self._pool = rng.standard_normal((POOL, dimension), np.float32) / np.float32(2)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """The texts' vectors."""
        hashes = np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], np.uint64)
        cluster, one, two = hashes % CLUSTERS, hashes // 1000 % POOL, hashes // 10_000_000 % POOL
        rows: Float32 = self._centres[cluster] + self._pool[one] + self._pool[two]
        return Encoded(dense=rows / np.linalg.norm(rows, axis=1, keepdims=True))

    encode_queries = encode_documents

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """There are none."""
        return {}


def encoder(dimension: int, fingerprint: Fingerprint | None = None) -> Encoder:
    """Made-up vectors beside the real words."""
    return MixedEncoder(Vectors(dimension, fingerprint), Bm25Encoder())


def vocabulary() -> list[str]:
    """Words of two and of three syllables, all different, the frequent ones first."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvwxyz" for vowel in "aeiou"]
    words = [one + two for one in syllables for two in syllables]
    for one in syllables:
        if len(words) >= VOCABULARY:
            break
        words += [one + two + three for two in syllables for three in syllables]
    return words[:VOCABULARY]


def drawn_words(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Numbers of words, word t with a chance of about 1 / (t + 4)."""
    chance = 1 / (np.arange(VOCABULARY) + 4.0)
    cumulated = np.cumsum(chance / chance.sum())
    return np.minimum(np.searchsorted(cumulated, rng.random(shape)), VOCABULARY - 1)


def documents(count: int, changed: frozenset[int] = frozenset()) -> Iterator[dict[str, object]]:
    """Documents as lines of JSON have them; those `changed` have other words than at first."""
    words = vocabulary()
    for start in range(0, count, BLOCK):
        rng = np.random.default_rng([1, start])
        drawn = drawn_words(rng, (min(BLOCK, count - start), CHUNKS, WORDS))
        facts = rng.integers(0, 1 << 30, (len(drawn), 4))
        for i, (paragraphs, (lang, year, tag, other)) in enumerate(zip(drawn, facts.tolist(), strict=True)):
            number = start + i
            opening = f"edition {number} " if number in changed else ""
            yield {
                "_id": f"doc{number:08d}",
                "text": opening + "\n\n".join(" ".join([words[t] for t in each]) + "." for each in paragraphs),
                "lang": LANGUAGES[lang % len(LANGUAGES)],
                "year": 2000 + year % 30,
                "tags": sorted({TAGS[tag % len(TAGS)], TAGS[other % len(TAGS)]}),
                "key": f"k{number:08d}",
            }


def write_collection(path: Path, count: int, changed: frozenset[int] = frozenset()) -> None:
    """One JSONL file of `count` documents."""
    with path.open("w", encoding="utf-8") as file:
        for document in documents(count, changed):
            file.write(json.dumps(document) + "\n")


def queries(count: int, words: int = 6) -> list[str]:
    """Queries of Zipf words: some frequent, some rare."""
    spelled = vocabulary()
    drawn = drawn_words(np.random.default_rng(2), (count, words))
    return [" ".join(spelled[t] for t in each) for each in drawn]
