"""A stub in place of the model: builds in milliseconds, and the same text always gives the same vector."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.cli.common import Options
from pipeline.config import Bm25Settings, Config, FusionSettings, parse_config
from pipeline.errors import GateRefusedError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.index.rows.layout import ROWS_FILE
from pipeline.index.segment import SEGMENTS, file_entry
from pipeline.ingest.cutting.contract import chunks_of
from pipeline.job import build as builder
from pipeline.job.build_report import BuildReport, IngestReport
from pipeline.job.plan import BuildPlan
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.encoder import MixedEncoder
from pipeline.progress import Progress, ProgressFactory, silent
from pipeline.query import searcher
from pipeline.query.searcher import Index
from pipeline.records import Chunk, Document, Encoded, Fingerprint, Float32, MultiVectors
from tests.support.collection import config_for

DIMENSION = 32
TOKEN_DIMENSION = 8
TOKENS = 6
"""Words of a text that have a vector of their own: the number and the fruit of a document are among them."""
QUERIES = ("apples and pears", "a document about number 7", "plums")


class HashedEncoder:
    """A vector drawn from a generator that is seeded with the text, and one for each of its first words."""

    dense_fingerprint = Fingerprint.of(kind="stub", dimension=DIMENSION)
    lexical_fingerprint = None
    dimension = DIMENSION
    gives_multivectors = True

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        words = [text.split()[:TOKENS] for text in texts]
        return Encoded(
            dense=_drawn(texts, DIMENSION),
            multivectors=MultiVectors(
                offsets=np.cumsum([0, *map(len, words)]),
                vectors=_drawn([word for some in words for word in some], TOKEN_DIMENSION),
            ),
        )

    encode_queries = encode_documents


def _drawn(texts: Sequence[str], dimension: int) -> Float32:
    rows = [_vector(text, dimension) for text in texts]
    return np.stack(rows) if rows else np.zeros((0, dimension), np.float32)


@cache
def _vector(text: str, dimension: int) -> Float32:
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return vector / np.maximum(np.linalg.norm(vector), 1e-9)


def encoder(dense: HashedEncoder | None = None) -> MixedEncoder:
    """The stub, or a variation of it, and BM25."""
    return MixedEncoder(dense or HashedEncoder(), Bm25Encoder(Bm25Settings()))  # type: ignore[arg-type]


class OneChunk:
    """A chunker that loads no tokenizer: a document of this test is one chunk."""

    fingerprint = Fingerprint.of(kind="stub")

    def chunk(self, document: Document) -> Iterator[Chunk]:
        return chunks_of(document, [(0, len(document.text))])


def build(config: Config, **options: Any) -> BuildReport:
    """A build with the stubs, unless another encoder or chunker is given."""
    return builder.build(config, **(_stubs() | options))


def ingest(config: Config, **options: Any) -> IngestReport:
    """An ingest with the stubs."""
    return builder.ingest(config, **(_stubs() | options))


def encode(config: Config, **options: Any) -> BuildReport:
    """The encoding of what `ingest` staged, with the stubs."""
    return builder.encode(config, **(_stubs() | options))


def plan(config: Config, **options: Any) -> BuildPlan:
    """What a build with the stubs would do."""
    return builder.plan(config, **(_stubs() | options))


def publish(config: Config, **options: Any) -> Manifest:
    """Publish what was refused; the gate measures with the stub."""
    return builder.publish(config, **({"encoder": encoder()} | options))


def open_index(path: Path, **options: Any) -> Index:
    """An index that the stub has built."""
    return searcher.open_index(path, **({"encoder": encoder()} | options))


def options() -> Options:
    """What a command is invoked with (`obj=`) to use the stubs."""
    return Options(**_stubs())


def _stubs() -> dict[str, Any]:
    return {"encoder": encoder(), "chunker": OneChunk()}


def raising_at(stage: str, error: BaseException) -> ProgressFactory:
    """A progress that raises when this stage begins."""

    def progress(description: str, total: int | None, unit: str) -> Progress:
        if description == stage:
            raise error
        return silent(description, total, unit)

    return progress


def write_texts(base: Path, version: int, count: int = 24) -> None:
    """A small collection; every version changes some documents, drops one and adds one."""
    folder = base / "documents"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {}
    for number in range(version, count + version):
        fruit = ("apples", "pears", "plums")[number % 3]
        edition = version if number % 5 == version % 5 else 0
        wanted[f"{number:03d}.txt"] = f"A document about number {number}, {fruit}, edition {edition}. " * 3
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def build_two_generations(base: Path) -> None:
    """The collection at version 1 and its index, in which version 0 was live before: it has deletions."""
    for version in range(2):
        write_texts(base, version)
        build(stub_config(base))


def stub_config(base: Path, **changes: Any) -> Config:
    """Small shards and segments, so that a build has many steps."""
    settings: dict[str, Any] = {"encode": {"shard_chunks": 4}, "segments": {"max_chunks": 12, "dense": "auto"}}
    return config_for(base, **(settings | changes))


Answers = list[list[tuple[str, float, float | None, float | None, float | None]]]
"""For each query the hits: chunk id, score, and the scores of the dense leg, the lexical one and multi-vectors."""


IMPOSSIBLE = parse_config(
    {"gate": {"expect": [{"query": "apples", "documents": ["a document that is nowhere"]}]}}
).gate
"""A gate that refuses every build."""


def refused(config: Config) -> None:
    """A build that the gate keeps staged."""
    with suppress(GateRefusedError):
        build(config.model_copy(update={"gate": IMPOSSIBLE}))


def answers(index: Path, generation: int | Literal["staged"] | None = None) -> Answers:
    """What the index says to all queries, every score included."""
    with open_index(index, generation=generation) as opened:
        return ask(opened)


def ask(opened: Index) -> Answers:
    """What an open index says to all queries, from every file of it. A fixed fusion: the default one calibrates
    itself on samples."""
    fusion = FusionSettings(method="minmax")
    return [
        [
            (hit.chunk_id, hit.score, *(leg and leg.score for leg in (hit.dense, hit.lexical, hit.reranker)))
            for hit in hits
        ]
        for hits in opened.search_many(QUERIES, 50, fusion=fusion, rerank="multivectors")
    ]


def without_rows(manifest: Manifest) -> Manifest:
    """A generation as it would be if it had been built before there were files of rows."""
    entries = (
        dataclasses.replace(entry, files=tuple(file for file in entry.files if file.name != ROWS_FILE))
        for entry in manifest.segments
    )
    return dataclasses.replace(manifest, segments=tuple(entries))


def sign(index: Path, change: Callable[[Manifest], Manifest] = lambda m: m) -> None:
    """Publish the live manifest again, with `change` and with the checksums that the files have now."""
    live = manifests.load(index, manifests.latest_generation(index))
    segments = tuple(
        dataclasses.replace(
            entry,
            files=tuple(file_entry(index / SEGMENTS / entry.segment_id / file.name) for file in entry.files),
            deletes=entry.deletes and file_entry(index / SEGMENTS / entry.segment_id / entry.deletes.name),
        )
        for entry in live.segments
    )
    manifests.publish(index, change(dataclasses.replace(live, generation=live.generation + 1, segments=segments)))
