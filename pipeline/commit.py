"""The second half of a build: what is staged becomes segments, a manifest and the live generation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from pipeline import plan as planning
from pipeline.config import Config
from pipeline.encode import stage as encoding
from pipeline.encode.pool import Pool
from pipeline.errors import IndexStoreError, SourceError
from pipeline.index import manifest as manifests
from pipeline.index import staging, store
from pipeline.index.manifest import LexicalParameters, Manifest, SegmentEntry
from pipeline.index.staging import StagedIngest
from pipeline.models.contract import Encoder
from pipeline.progress import ProgressFactory
from pipeline.query.calibration import Calibration
from pipeline.query.searcher import Index
from pipeline.query.trials import calibrate_index, is_stale
from pipeline.records import Fingerprint, Rejection
from pipeline.stopwatch import Stopwatch


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


def check_fingerprints(config: Config, live: Manifest, encoder: Encoder, chunker: Fingerprint) -> None:
    """Refuse to add to an index what another encoder or chunker makes. Raises `IncompatibleIndexError`."""
    current: dict[str, Fingerprint | None] = dict.fromkeys(("dense", "lexical", "multivector"))
    current.update(encoding.fingerprints(encoder, config.segments), chunker=chunker)
    manifests.check_fingerprints(config.index_path, live, current)


def encode_and_publish(config: Config, encoder: Encoder, report: IngestReport, watch: Stopwatch) -> BuildReport:
    """Encode what is staged and publish it. Call with the lock held. Raises what `builder.encode` raises."""
    index, staged = config.index_path, report.staged
    live = None if staged.full else store.live_manifest(index)
    base = max(manifests.generations(index), default=0)
    if base != staged.base_generation:
        raise IndexStoreError(
            f"{index}: staged to follow generation {staged.base_generation}, but {base} is live; "
            "run `pipeline ingest` again"
        )
    if live is not None:
        check_fingerprints(config, live, encoder, Fingerprint(tuple(sorted(staged.chunker.items()))))
    if live is not None and staged.nothing_to_do:
        staging.clear(index)
        return _summary(live, report, watch, published=False)
    waiting = planning.waiting_chunks(index, staged, encoder, config.segments)
    shards = encoding.encode_staged(index, staged, encoder, config.segments, watch, _runner(config))
    rate = planning.EncodingRate(waiting, watch.seconds_of("encode"))
    new = encoding.write_segments(index, staged, shards, encoder, config.segments, watch)
    kept = store.without_documents(index, live.segments, staged.removed, base + 1) if live else []
    manifest = _manifest(config, encoder, staged, [*kept, *new], base + 1)
    manifest = _calibrated(config, encoder, manifest, live, watch)
    manifest = planning.with_rate(manifest, rate, live)
    manifests.publish(index, manifest)
    staging.clear(index)
    store.collect_garbage(index, config.retain)
    return _summary(manifest, report, watch, published=True)


def _runner(config: Config) -> encoding.ShardRunner | None:
    if not config.encode.devices:
        return None
    devices = tuple(config.encode.devices)
    return Pool(devices, config.encoder, config.segments, config.base, config.encode.batch_tokens).encode


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


def _summary(manifest: Manifest, report: IngestReport, watch: Stopwatch, published: bool) -> BuildReport:
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
        seconds=watch.seconds,
    )
