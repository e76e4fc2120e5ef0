"""The second half of a build: what is staged becomes segments, a manifest and the live generation."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.encode import stage as encoding
from pipeline.encode.pool import Pool
from pipeline.errors import GateRefusedError, IndexStoreError
from pipeline.index import candidate, staging, store
from pipeline.index import manifest as manifests
from pipeline.index.components.registry import stored
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.segment import Segment
from pipeline.index.staging import StagedIngest
from pipeline.index.statistics import Circumstances
from pipeline.job import build_report
from pipeline.job import plan as planning
from pipeline.job.build_report import BuildReport, IngestReport
from pipeline.job.draft import Draft
from pipeline.job.evidence import gather
from pipeline.job.gate import judge
from pipeline.job.golden import Golden
from pipeline.job.report.page import write
from pipeline.job.report.record import chunk_lengths
from pipeline.job.stopwatch import Stopwatch
from pipeline.models.contract import Encoder
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
    current: dict[str, Fingerprint | None] = dict.fromkeys(stored())
    current.update(encoding.fingerprints(encoder, config.segments), chunker=chunker)
    manifests.check_fingerprints(config.index_path, live, current)


def encode_and_publish(
    config: Config, encoder: Encoder, report: IngestReport, watch: Stopwatch, wishes: Wishes
) -> BuildReport:
    """Encode what is staged and publish it. Call with the lock held. Raises what `job.build.encode` raises."""
    index, staged = config.index_path, report.staged
    live = _followed(config, encoder, staged)
    is_shown_to_others = live is not None and live.access_field != config.access_field
    if live is not None and live.access_field is not None and config.access_field is None:
        log.warning(
            "%s: access_field: %s is no longer configured: everybody will find every document",
            index,
            live.access_field,
        )
    if live is not None and staged.nothing_to_do and not is_shown_to_others:
        staging.clear(index)
        return build_report.summary(live, report, watch, None)
    planning.announce_multivectors(config, index, staged, encoder)
    lengths = chunk_lengths([staging.ingest_folder(index) / part.name for part in staged.parts])
    encoded = encoding.encode_staged(index, staged, encoder, config.segments, watch, _runner(config), live)
    new = encoding.write_segments(
        index, staged, encoded, encoder, config.segments, watch, live.chunks if live else 0
    )
    candidate.discard(index)  # it names deletions by the number that this build will use
    kept = _kept(index, staged, live) if live else []
    draft = Draft(config, encoder, staged, live, [*kept, *new], wishes.note)
    draft.compact(watch)
    draft.calibrate(watch)
    draft.count(encoded, watch.seconds_of("encode"))
    circumstances = Circumstances(staged.read, staged.rejected, wishes.allow_deletes)
    evidence = gather(config, encoder, draft.manifest(), wishes.golden, circumstances, watch)
    draft.judged(judge(config.gate, evidence))
    manifest = draft.manifest()
    if manifest.statistics.refusals:
        candidate.stage(index, manifest)
        staging.discard_ingest(index)
    else:
        publish(config, manifest)
    with _not_the_builds_fault(index, "the build's report is missing"):
        record = build_report.record(manifest, evidence, report, watch, encoded.encoded_chunks, lengths)
        write(index, record)
    if manifest.statistics.refusals:
        raise GateRefusedError(refusal(index, manifest, report.rejects_file))
    return build_report.summary(manifest, report, watch, encoded)


def _followed(config: Config, encoder: Encoder, staged: StagedIngest) -> Manifest | None:
    """The live generation that takes what is staged, `None` for a full build. Raises `IndexStoreError`."""
    index = config.index_path
    live = None if staged.full else store.live_manifest(index)
    base = manifests.live_number(index)
    if base != staged.base_generation:
        raise IndexStoreError(
            f"{index}: staged to follow generation {staged.base_generation}, but {base} is live; "
            "run `pipeline ingest` again"
        )
    if live is not None:
        check_fingerprints(config, live, encoder, Fingerprint(tuple(sorted(staged.chunker.items()))))
    return live


def _kept(index: Path, staged: StagedIngest, live: Manifest) -> list[SegmentEntry]:
    """The live generation's segments without what the sources no longer have. Raises `CorruptIndexError`."""
    kept = store.without_documents(index, live.segments, staged.removed, staged.base_generation + 1)
    for entry in kept:
        Segment(index, entry)  # nobody could open a generation that carries damage on
    return kept


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


def refusal(index: Path, manifest: Manifest, rejects_file: Path | None = None) -> str:
    """One line: what was refused, why, and what to do. `rejects_file`: where rejected documents are listed."""
    rejects = f"; rejected documents are listed in {rejects_file}" if rejects_file else ""
    return (
        f"{index}: the gate refused generation {manifest.generation}: {'; '.join(manifest.statistics.refusals)}; "
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
