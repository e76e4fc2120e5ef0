"""The nightly job: compare sources with the live generation, ingest, encode, publish."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import plan as planning
from pipeline.config import Config
from pipeline.encode import stage as encoding
from pipeline.encode.pool import Pool
from pipeline.errors import (
    IndexStoreError,
    RejectedDocumentsError,
    SourceError,
)
from pipeline.index import manifest as manifests
from pipeline.index import staging, store
from pipeline.index.manifest import LexicalParameters, Manifest, SegmentEntry
from pipeline.index.staging import StagedIngest
from pipeline.ingest.chunking import Chunker
from pipeline.ingest.readers import discover, read_documents
from pipeline.ingest.stage import IngestRun, save_rejections
from pipeline.models.contract import Encoder
from pipeline.models.registry import chunk_tokenizer, load_encoder
from pipeline.plan import BuildPlan
from pipeline.progress import Progress, ProgressFactory, silent
from pipeline.query.calibration import Calibration
from pipeline.query.searcher import Index
from pipeline.query.trials import calibrate_index, is_stale
from pipeline.records import Document, Fingerprint, Rejection

MULTIVECTOR_SHARD_CHUNKS = 512
"""A shard is encoded in memory: with a float32 vector a token, 512 chunks of 256 tokens of BGE-M3 take 0.5 GB."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest found and staged. `rejects_file` lists the rejections, if there are any."""

    staged: StagedIngest
    rejections: tuple[Rejection, ...]
    rejects_file: Path | None


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. `published` is false when the live generation already was up to date."""

    published: bool
    generation: int
    documents: int
    chunks: int
    added: int
    changed: int
    unchanged: int
    deleted: int
    encoded_chunks: int
    rejections: tuple[Rejection, ...]
    rejects_file: Path | None
    seconds: float


def ingest(
    config: Config, *, full: bool = False, strict: bool = False, progress: ProgressFactory = silent
) -> IngestReport:
    """Read the sources and stage the chunks of new and changed documents for `encode`.

    `full` takes nothing over from the live generation. `strict` raises `RejectedDocumentsError` if any document is
    rejected. Raises `ConfigError`, `SourceError`, `IncompatibleIndexError`, `IndexLockedError`.
    """
    with store.lock(config.index_path):
        return _ingest(config, _encoder(config), full, strict, progress)


def encode(config: Config, *, progress: ProgressFactory = silent) -> BuildReport:
    """Encode what `ingest` staged and publish it as a new generation.

    Raises `IndexStoreError` if nothing is staged or the index has moved on since, `EncoderError`,
    `IndexLockedError`.
    """
    index = config.index_path
    started = time.monotonic()
    with store.lock(index):
        staged = staging.load_ingest(index)
        if staged is None:
            raise IndexStoreError(f"{index}: nothing is staged; run `pipeline ingest` first, or `pipeline build`")
        report = IngestReport(staged, (), None)
        return _encode(config, _encoder(config), report, started, progress)


def build(
    config: Config, *, full: bool = False, strict: bool = False, progress: ProgressFactory = silent
) -> BuildReport:
    """Bring the index up to date with its sources: ingest, encode, publish. Encodes only new and changed documents.

    A crash at any point leaves the live generation as it was. Raises what `ingest` and `encode` raise.
    """
    started = time.monotonic()
    with store.lock(config.index_path):
        encoder = _encoder(config)
        report = _ingest(config, encoder, full, strict, progress)
        return _encode(config, encoder, report, started, progress)


def plan(config: Config, *, full: bool = False, progress: ProgressFactory = silent) -> BuildPlan:
    """What `build` would do and cost: reads all sources, writes nothing. Raises what `ingest` raises."""
    encoder = _encoder(config)
    with planning.temporary_index() as name:
        folder = Path(name)
        staged, rejections = _stage(config, encoder, folder, full, progress)
        tokenizer = chunk_tokenizer(config.encoder, base=config.base)
        return planning.estimate(config, folder, staged, rejections, encoder, tokenizer)


def _ingest(config: Config, encoder: Encoder, full: bool, strict: bool, progress: ProgressFactory) -> IngestReport:
    index = config.index_path
    staged, rejections = _stage(config, encoder, index, full, progress)
    path = save_rejections(index, staged.base_generation + 1, rejections) if rejections else None
    if rejections and strict:
        staging.discard_ingest(index)
        noun = "document was" if len(rejections) == 1 else "documents were"
        raise RejectedDocumentsError(f"{len(rejections)} {noun} rejected; {path} lists all, with reasons")
    return IngestReport(staged, rejections, path)


def _stage(
    config: Config, encoder: Encoder, target: Path, full: bool, progress: ProgressFactory
) -> tuple[StagedIngest, tuple[Rejection, ...]]:
    """Compare the sources with the live generation and stage what is new below `target`."""
    index = config.index_path
    if not config.sources:
        raise SourceError("no sources are configured; add `sources: [{path: …}]` to config.yaml")
    files = discover(config)
    chunker = Chunker(config.chunking, chunk_tokenizer(config.encoder, base=config.base))
    live = None if full else store.live_manifest(index)
    if live is not None:
        _check(config, live, encoder, chunker.fingerprint)
    base = max(manifests.generations(index), default=0)
    run = IngestRun(store.live_documents(index, live))
    with progress("ingest", None, "doc") as bar:
        documents = _counted(read_documents(files, config.ingest, run.reject), bar)
        staged = run.stage(
            target, documents, chunker.chunk, chunker.fingerprint, _shard_chunks(config, encoder), base, full
        )
    return staged, tuple(run.rejections)


def _counted(documents: Iterable[Document], bar: Progress) -> Iterator[Document]:
    for document in documents:
        yield document
        bar.update()


def _encoder(config: Config) -> Encoder:
    return load_encoder(config.encoder, base=config.base, batch_tokens=config.encode.batch_tokens)


def _shard_chunks(config: Config, encoder: Encoder) -> int:
    chunks = config.encode.shard_chunks
    return min(chunks, MULTIVECTOR_SHARD_CHUNKS) if encoder.gives_multivectors else chunks


def _runner(config: Config) -> encoding.ShardRunner | None:
    if not config.encode.devices:
        return None
    devices = tuple(config.encode.devices)
    return Pool(devices, config.encoder, config.segments, config.base, config.encode.batch_tokens).encode


def _check(config: Config, live: Manifest, encoder: Encoder, chunker: Fingerprint) -> None:
    current: dict[str, Fingerprint | None] = dict.fromkeys(("dense", "lexical", "multivector"))
    current.update(encoding.fingerprints(encoder, config.segments), chunker=chunker)
    manifests.check_fingerprints(config.index_path, live, current)


def _encode(
    config: Config, encoder: Encoder, report: IngestReport, started: float, progress: ProgressFactory
) -> BuildReport:
    index, staged = config.index_path, report.staged
    live = None if staged.full else store.live_manifest(index)
    base = max(manifests.generations(index), default=0)
    if base != staged.base_generation:
        raise IndexStoreError(
            f"{index}: staged to follow generation {staged.base_generation}, but {base} is live; "
            "run `pipeline ingest` again"
        )
    if live is not None:
        _check(config, live, encoder, Fingerprint(tuple(sorted(staged.chunker.items()))))
    if live is not None and staged.nothing_to_do:
        staging.clear(index)
        return _summary(live, report, started, published=False)
    shards = encoding.encode_staged(index, staged, encoder, config.segments, progress, _runner(config))
    new = encoding.write_segments(index, staged, shards, encoder, config.segments, progress)
    kept = store.without_documents(index, live.segments, staged.removed, base + 1) if live else []
    manifest = _manifest(config, encoder, staged, [*kept, *new], base + 1)
    manifest = _calibrated(config, encoder, manifest, live, progress)
    manifests.publish(index, manifest)
    staging.clear(index)
    store.collect_garbage(index, config.retain)
    return _summary(manifest, report, started, published=True)


def _manifest(
    config: Config, encoder: Encoder, staged: StagedIngest, segments: list[SegmentEntry], generation: int
) -> Manifest:
    index = config.index_path
    chunks = sum(entry.chunks - entry.deleted_chunks for entry in segments)
    if chunks == 0:
        raise SourceError(
            f"{index}: no document could be indexed, so nothing is published; see {index / 'rejects'}"
        )
    prints = encoding.fingerprints(encoder, config.segments)
    scoring = encoder.lexical_scoring
    return Manifest(
        generation=generation,
        created_at=store.now(),
        documents=staged.unchanged + staged.added + staged.changed + staged.held,
        chunks=chunks,
        segments=tuple(segments),
        fingerprints={part: dict(fields.fields) for part, fields in prints.items()} | {"chunker": staged.chunker},
        dimension=encoder.dimension if encoder.dense_fingerprint is not None else None,
        lexical=LexicalParameters(scoring.kind, scoring.k1, scoring.b),
        encoder=config.encoder.model_dump(mode="json"),
        statistics={},
    )


def _calibrated(
    config: Config, encoder: Encoder, manifest: Manifest, live: Manifest | None, progress: ProgressFactory
) -> Manifest:
    """The manifest with a calibration of the fusion: the live one, unless the index has changed much since."""
    recorded = live.statistics.get("calibration") if live else None
    if is_stale(Calibration.from_json(recorded), manifest.chunks):
        with (
            progress("calibrate fusion", None, "query"),
            Index(config.index_path, manifest, encoder, config.query, verify=False) as index,
        ):
            calibration = calibrate_index(index)
        recorded = calibration.to_json() if calibration else None
    return dataclasses.replace(manifest, statistics={"calibration": recorded} if recorded else {})


def _summary(manifest: Manifest, report: IngestReport, started: float, published: bool) -> BuildReport:
    staged = report.staged
    return BuildReport(
        published=published,
        generation=manifest.generation,
        documents=manifest.documents,
        chunks=manifest.chunks,
        added=staged.added,
        changed=staged.changed,
        unchanged=staged.unchanged,
        deleted=staged.deleted,
        encoded_chunks=staged.chunks,
        rejections=report.rejections,
        rejects_file=report.rejects_file,
        seconds=time.monotonic() - started,
    )
