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
from pipeline.errors import GateRefusedError, IndexStoreError, QueryError
from pipeline.index import candidate, staging, store
from pipeline.index import manifest as manifests
from pipeline.index.components.registry import stored
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.segment import Segment
from pipeline.index.staging import StagedIngest
from pipeline.index.statistics import Circumstances
from pipeline.ingest.memory import give_back_memory
from pipeline.job import build_report
from pipeline.job import plan as planning
from pipeline.job.build_report import BuildReport, IngestReport
from pipeline.job.cluster.reach import Cluster, spread_over
from pipeline.job.comparison.differences import from_live
from pipeline.job.draft import Draft
from pipeline.job.evidence import gather
from pipeline.job.gate import judge
from pipeline.job.golden import Golden
from pipeline.job.prepare.vector_check import check_given
from pipeline.job.report.page import write
from pipeline.job.report.record import chunk_lengths
from pipeline.job.stopwatch import Stopwatch
from pipeline.models.contract import Encoder
from pipeline.models.precomputed import PrecomputedEncoder
from pipeline.progress import ProgressFactory
from pipeline.query.log.reader import QueryLogSummary, summary
from pipeline.query.log.writer import log_folder
from pipeline.records import Fingerprint
from pipeline.remote import reports
from pipeline.remote.place import RemoteIndex
from pipeline.remote.staged import leftovers
from pipeline.remote.writing import collect_after, publisher

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asks of a commit. `note`: kept in the generation; `allow_deletes`: however few are left.

    `run`: who encodes the missing shards; by default workers of `cluster`, or one process for each of
    `encode.devices`, or this one.
    """

    golden: Golden
    note: str = ""
    allow_deletes: bool = False
    run: encoding.ShardRunner | None = None
    cluster: Cluster | None = None


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
    live = followed(config, encoder, staged)
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
    if isinstance(encoder, PrecomputedEncoder):
        check_given(config, encoder, staged)
    _distrust_collapsed(index)
    planning.announce_multivectors(config, index, staged, encoder)
    lengths = chunk_lengths([staging.ingest_folder(index) / part.name for part in staged.parts])
    spread = wishes.cluster and spread_over(wishes.cluster, config, encoder, staged.base_generation, watch)
    run = wishes.run or (spread.encode if spread else _runner(config))
    encoded = encoding.encode_staged(index, staged, encoder, config.segments, watch, run, live)
    give_back_memory()
    new = encoding.write_segments(
        index, staged, encoded, encoder, config.segments, watch, live.chunks if live else 0
    )
    give_back_memory()
    candidate.discard(index)  # it names deletions by the number that this build will use
    kept = _kept(index, staged, live) if live else []
    draft = Draft(config, encoder, staged, live, [*kept, *new], wishes.note)
    draft.compact(watch)
    draft.calibrate(watch)
    draft.count(encoded, watch.seconds_of("encode"))
    circumstances = Circumstances(staged.read, staged.rejected, wishes.allow_deletes)
    evidence = gather(config, encoder, draft.manifest(), wishes.golden, circumstances, watch)
    draft.judged(judge(config.gate, evidence), evidence.known_items_record())
    manifest = draft.manifest()
    difference = from_live(config, encoder, manifest, wishes.golden, watch)
    if manifest.statistics.refusals:
        candidate.stage(index, manifest)
        staging.discard_ingest(index)
    else:
        publish(config, manifest, watch)
    with _not_the_builds_fault(index, "the build's report is missing"):
        record = build_report.record(
            manifest,
            evidence,
            report,
            watch,
            encoded.encoded_chunks,
            lengths,
            evidence.known_items(config.gate),
            difference,
            _logged(config),
        )
        if spread:
            record = dataclasses.replace(
                record,
                workers=tuple(spread.shares),
                troubles=tuple(spread.troubles),
                trouble_count=spread.trouble_count,
            )
        write(index, record)
    if manifest.statistics.refusals:
        raise GateRefusedError(refusal(index, manifest, report.rejects_file))
    if (remote := RemoteIndex.configured(config)) is not None:
        reports.push(remote, manifest.generation)
    return build_report.summary(manifest, report, watch, encoded)


def followed(config: Config, encoder: Encoder, staged: StagedIngest) -> Manifest | None:
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


def _logged(config: Config) -> QueryLogSummary | None:
    """What the log of queries tells, `None` where there is none."""
    folder = log_folder(config.index_path)
    if not config.query.log or not folder.exists():
        return None
    try:
        return summary(folder)
    except QueryError as error:
        log.warning("the report tells nothing of what was asked: %s", error)
        return None


def _distrust_collapsed(index: Path) -> None:
    """Forget what a model gave that the gate found broken, so that it is not taken for encoded."""
    refused = candidate.waiting(index)
    if refused is not None and refused.statistics.gate is not None and refused.statistics.gate.collapsed:
        log.warning("%s: a leg of the refused generation had collapsed: its texts are encoded again", index)
        candidate.discard(index)
        staging.discard_shards(index, keep=())


def _kept(index: Path, staged: StagedIngest, live: Manifest) -> list[SegmentEntry]:
    """The live generation's segments without what the sources no longer have. Raises `CorruptIndexError`."""
    kept = store.without_documents(index, live.segments, staged.removed, staged.base_generation + 1)
    for entry in kept:
        Segment(index, entry)  # nobody could open a generation that carries damage on
    return kept


def publish(config: Config, manifest: Manifest, progress: ProgressFactory) -> None:
    """Make a finished generation live and remove what it was made of. Call with the lock held.

    Raises `OvertakenError`, `ObjectStoreError` for an index in an object store.
    """
    index, remote = config.index_path, RemoteIndex.configured(config)
    publisher(remote, progress)(index, manifest)
    if remote is not None:
        leftovers.remove_own(remote)
    with _not_the_builds_fault(index, "what is not needed any more could not all be removed"):
        staging.clear(index)
        store.collect_garbage(index, config.retain)
        if remote is not None:
            collect_after(remote, config.retain)


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
