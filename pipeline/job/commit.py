"""The second half of a build: what is staged becomes segments, a manifest and the live generation."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.encode import stage as encoding
from pipeline.encode.pool import Pool
from pipeline.errors import GateRefusedError, IndexStoreError, SourceError
from pipeline.index import candidate, staging, store
from pipeline.index import manifest as manifests
from pipeline.index.dense.write import DenseChoice
from pipeline.index.lexical.seismic_writer import LexicalChoice
from pipeline.index.manifest import LexicalParameters, Manifest, SegmentEntry
from pipeline.index.segment import Segment
from pipeline.index.staging import StagedIngest
from pipeline.index.statistics import Circumstances, EncodingRate, Statistics
from pipeline.index.upkeep import compact
from pipeline.job import outcome
from pipeline.job import plan as planning
from pipeline.job.golden import Golden
from pipeline.job.judging import Verdict, judged
from pipeline.job.outcome import BuildReport, IngestReport
from pipeline.job.report.page import write
from pipeline.job.report.record import chunk_lengths
from pipeline.job.stopwatch import Stopwatch
from pipeline.models.contract import Encoder
from pipeline.progress import ProgressFactory
from pipeline.query.fusion.calibration import Calibration
from pipeline.query.fusion.trials import calibrate_index, is_stale
from pipeline.query.searcher import Index
from pipeline.records import Fingerprint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asks of a commit. `note`: kept in the generation; `allow_deletes`: however few are left."""

    golden: Golden
    note: str = ""
    allow_deletes: bool = False


def check_fingerprints(config: Config, live: Manifest, encoder: Encoder, chunker: Fingerprint) -> None:
    """Refuse to add to an index what another encoder or chunker makes. Raises `IncompatibleIndexError`."""
    current: dict[str, Fingerprint | None] = dict.fromkeys(("dense", "lexical", "multivector"))
    current.update(encoding.fingerprints(encoder, config.segments), chunker=chunker)
    manifests.check_fingerprints(config.index_path, live, current)


def encode_and_publish(
    config: Config, encoder: Encoder, report: IngestReport, watch: Stopwatch, wishes: Wishes
) -> BuildReport:
    """Encode what is staged and publish it. Call with the lock held. Raises what `job.build.encode` raises."""
    index, staged = config.index_path, report.staged
    live = None if staged.full else store.live_manifest(index)
    base = manifests.live_number(index)
    if base != staged.base_generation:
        raise IndexStoreError(
            f"{index}: staged to follow generation {staged.base_generation}, but {base} is live; "
            "run `pipeline ingest` again"
        )
    if live is not None:
        check_fingerprints(config, live, encoder, Fingerprint(tuple(sorted(staged.chunker.items()))))
    if live is not None and staged.nothing_to_do:
        staging.clear(index)
        return outcome.summary(live, report, watch, None)
    planning.announce_multivectors(config, index, staged, encoder)
    lengths = chunk_lengths([staging.ingest_folder(index) / part.name for part in staged.parts])
    encoded = encoding.encode_staged(index, staged, encoder, config.segments, watch, _runner(config), live)
    rate = EncodingRate(encoded.encoded_chunks, watch.seconds_of("encode"))
    new = encoding.write_segments(
        index, staged, encoded, encoder, config.segments, watch, live.chunks if live else 0
    )
    candidate.discard(index)  # it names deletions by the number that this build will use
    kept = store.without_documents(index, live.segments, staged.removed, base + 1) if live else []
    for entry in kept:
        Segment(index, entry)  # nobody could open a generation that carries damage on
    manifest = _manifest(config, encoder, staged, [*kept, *new], base + 1)
    manifest = _compacted(config, manifest, watch)
    manifest = _calibrated(config, encoder, manifest, live, watch)
    statistics = dataclasses.replace(
        manifest.statistics,
        encoded_chunks=encoded.encoded_chunks,
        reused_chunks=encoded.reused_chunks,
        encoding=planning.telling_rate(rate, live),
    )
    manifest = dataclasses.replace(manifest, statistics=statistics, note=wishes.note)
    verdict = judged(
        config,
        encoder,
        manifest,
        wishes.golden,
        watch,
        Circumstances(staged.read, staged.rejected, wishes.allow_deletes),
    )
    if verdict.refusals:
        candidate.stage(index, verdict.manifest)
        staging.discard_ingest(index)
    else:
        publish(config, verdict.manifest)
    with _not_the_builds_fault(index, "the build's report is missing"):
        write(index, outcome.record(verdict, report, watch, encoded.encoded_chunks, lengths))
    if verdict.refusals:
        raise GateRefusedError(refusal(index, verdict, report.rejects_file))
    return outcome.summary(verdict.manifest, report, watch, encoded)


def publish(config: Config, manifest: Manifest) -> None:
    """Make a finished generation live and remove what it was made of. Call with the lock held."""
    index = config.index_path
    manifests.publish(index, manifest)
    with _not_the_builds_fault(index, "what is not needed any more could not all be removed"):
        staging.clear(index)
        store.collect_garbage(index, config.retain)


@contextlib.contextmanager
def _not_the_builds_fault(index: Path, what: str) -> Iterator[None]:
    """Warn of a failing disk instead of raising: the generation is finished, and must not be told as failed."""
    try:
        yield
    except OSError as error:
        log.warning("%s: %s: %s", index, what, error)


def staged_candidate(index: Path) -> Manifest:
    """The generation that waits in staging, its files checked.

    Raises `IndexNotFoundError` if there is none, `IndexStoreError` if it can no longer follow the live generation,
    `CorruptIndexError`.
    """
    manifest = candidate.load(index)
    live = manifests.live_number(index)
    if manifest.generation != live + 1:
        raise IndexStoreError(
            f"{index}: staged to follow generation {manifest.generation - 1}, but {live} is live; "
            "run `pipeline build` again"
        )
    for entry in manifest.segments:
        Segment(index, entry)
    return manifest


def refusal(index: Path, verdict: Verdict, rejects_file: Path | None = None) -> str:
    """One line: what was refused, why, and what to do. `rejects_file`: where rejected documents are listed."""
    rejects = f"; rejected documents are listed in {rejects_file}" if rejects_file else ""
    return (
        f"{index}: the gate refused generation {verdict.manifest.generation}: {'; '.join(verdict.refusals)}; "
        "it stays staged: `pipeline query --generation staged` searches it, `pipeline publish --force` publishes it"
        f"{rejects}"
    )


def _runner(config: Config) -> encoding.ShardRunner | None:
    if not config.encode.devices:
        return None
    devices = tuple(config.encode.devices)
    settings = config.encode
    pool = Pool(
        devices, config.encoder, config.segments, config.base, settings.batch_tokens, settings.timeout_seconds
    )
    return pool.encode


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
        documents=staged.documents,
        chunks=chunks,
        segments=tuple(segments),
        fingerprints={part: dict(fields.fields) for part, fields in prints.items()} | {"chunker": staged.chunker},
        dimension=encoder.dimension if encoder.dense_fingerprint is not None else None,
        lexical=LexicalParameters(scoring.kind, scoring.k1, scoring.b),
        encoder=config.encoder.model_dump(mode="json"),
        statistics=Statistics(),
    )


def _compacted(config: Config, manifest: Manifest, progress: ProgressFactory) -> Manifest:
    """The manifest with the segments merged that are worth it, so that nights do not pile up small ones."""
    settings = config.segments
    groups = compact.wants_compaction(manifest, settings.max_chunks) if settings.auto_compact else []
    if not groups:
        return manifest
    dense = DenseChoice(settings.dense, settings.recall_target)
    lexical = LexicalChoice(settings.lexical, settings.recall_target)
    merged = compact.merged(config.index_path, manifest, groups, dense, lexical, progress)
    return dataclasses.replace(manifest, segments=tuple(merged))


def _calibrated(
    config: Config, encoder: Encoder, manifest: Manifest, live: Manifest | None, progress: ProgressFactory
) -> Manifest:
    """The manifest with a calibration of the fusion: the live one, unless the index has changed much since."""
    recorded = live.statistics.calibration if live else None
    if is_stale(Calibration.from_json(recorded), manifest.chunks):
        with (
            progress("calibrate fusion", None, "query"),
            Index(config.index_path, manifest, encoder, config.query, False, config.encoder, config.base) as index,
        ):
            calibration = calibrate_index(index)
        recorded = calibration.to_json() if calibration else None
    return dataclasses.replace(manifest, statistics=Statistics(calibration=recorded or None))
