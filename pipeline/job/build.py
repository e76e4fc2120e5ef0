"""The nightly job: compare sources with the live generation, ingest, encode, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Unpack

from pipeline.arguments import flag, reporter, text
from pipeline.config import Config, configured
from pipeline.encode import stage as encoding
from pipeline.encode.reuse import take_inventory
from pipeline.errors import (
    ConfigError,
    DeletionGuardError,
    GateRefusedError,
    IndexNotFoundError,
    IndexStoreError,
    RejectedDocumentsError,
)
from pipeline.index import manifest as manifests
from pipeline.index import staging, store
from pipeline.index.cut.before import CutBefore
from pipeline.index.live import DocumentKeys
from pipeline.index.manifest import Manifest
from pipeline.index.staging import StagedIngest
from pipeline.ingest.cutting.contract import DocumentChunker
from pipeline.ingest.fetching.kinds import fetch_sources, lend_mirrors
from pipeline.ingest.given_sources import giving
from pipeline.ingest.guard import ReadDocument
from pipeline.ingest.ledger import Ledger, Recorded, load_ledger
from pipeline.ingest.read_before import FilesBefore
from pipeline.ingest.readers import discover, read_sources
from pipeline.ingest.stage import IngestRun, load_rejections, save_rejections
from pipeline.ingest.workers.tally import Reading, Tally
from pipeline.job import commit
from pipeline.job import plan as planning
from pipeline.job.build_report import BuildReport, IngestReport
from pipeline.job.cluster.places import bring_plan
from pipeline.job.cluster.reach import Cluster, reached
from pipeline.job.cluster.shares import refuse_missing
from pipeline.job.commit import Wishes
from pipeline.job.evidence import gather
from pipeline.job.gate import judge
from pipeline.job.golden import Golden, load_golden
from pipeline.job.injected import Injected
from pipeline.job.options import BuildKeywords, BuildOptions, IngestKeywords, IngestOptions
from pipeline.job.plan import BuildPlan
from pipeline.job.prepare.reading_process import workers_of
from pipeline.job.prepare.staged import staged_build, writing
from pipeline.job.report import failure
from pipeline.job.report.page import write
from pipeline.job.report.record import load as load_record
from pipeline.job.stopwatch import Stopwatch
from pipeline.models.choose.encoder import chunk_tokenizer
from pipeline.models.contract import Encoder
from pipeline.models.precomputed import PrecomputedEncoder
from pipeline.progress import Progress, ProgressFactory, remark, silent
from pipeline.records import Rejection
from pipeline.remote import reports
from pipeline.remote.place import RemoteIndex
from pipeline.remote.pull import pull

log = logging.getLogger(__name__)

__all__ = ["BuildReport", "IngestReport", "build", "encode", "encoding", "ingest", "plan", "publish"]

MULTIVECTOR_SHARD_CHUNKS = 512
"""A shard is encoded in memory: with a float32 vector a token, 512 chunks of 256 tokens of BGE-M3 take 0.5 GB."""

ENDPOINT_SHARD_CHUNKS = 256
"""What a failed build has to pay a server for again is at most a shard; the default requests fill it twice over."""

Configured = Config | str | os.PathLike[str]
"""A configuration, or the path of its file."""


def ingest(
    config: Configured,
    *,
    options: IngestOptions | None = None,
    encoder: Encoder | None = None,
    chunker: DocumentChunker | None = None,
    progress: ProgressFactory = silent,
    **keywords: Unpack[IngestKeywords],
) -> IngestReport:
    """Read the sources and stage the chunks of new and changed documents for `encode`.

    `full` takes nothing over from the live generation. `strict` raises `RejectedDocumentsError` if any document is
    rejected. `rehash` reads every file, also those that look as they did when they were last read. `allow_deletes`
    lifts the guard `max_delete_ratio`, which otherwise raises `DeletionGuardError`. `options` holds all of these as
    one record. `encoder` and `chunker`: as in `build`.
    Raises `ConfigError`, `SourceError`, `IncompatibleIndexError`, `IndexLockedError`.
    """
    config, watch = configured(config), Stopwatch(reporter(progress))
    wanted, injected = IngestOptions.of(options, **keywords), Injected.passed(encoder, chunker)
    with writing(config, watch), failure.noted(config.index_path, watch):
        config = injected.following(config, wanted.full)
        return _ingest(config, injected.encoder(config), injected, wanted, watch)


def encode(
    config: Configured,
    *,
    allow_deletes: bool = False,
    note: str = "",
    commit_only: bool = False,
    encoder: Encoder | None = None,
    chunker: DocumentChunker | None = None,
    progress: ProgressFactory = silent,
) -> BuildReport:
    """Encode what `ingest` staged and publish it as a new generation, unless the quality gate refuses it.

    `note` is kept in the generation. `commit_only`: encode nothing here; `IndexStoreError` names the shards that
    workers have still to encode (`pipeline.job.cluster.shares`). `encoder` and `chunker`: as in `build`, and those
    that `ingest` had. Raises `IndexStoreError` if nothing is staged or the index has moved on since,
    `GateRefusedError`, `EncoderError`, `IndexLockedError`.
    """
    injected = Injected.passed(encoder, chunker)
    config, watch = injected.settled(configured(config)), Stopwatch(reporter(progress))
    index, note, allow_deletes = config.index_path, text("note", note), flag("allow_deletes", allow_deletes)
    commit_only = flag("commit_only", commit_only)
    with writing(config, watch), failure.noted(index, watch):
        wishes = Wishes(_golden(config), note, allow_deletes, refuse_missing if commit_only else None)
        if (remote := RemoteIndex.configured(config)) is not None:
            bring_plan(remote, watch, required=commit_only)
        ready = staged_build(config, injected)
        staged = ready.staged
        rejections, path = load_rejections(index, staged.base_generation + 1) if staged.rejected else ((), None)
        report = IngestReport(staged, rejections, path)
        return commit.encode_and_publish(ready.config, ready.encoder, report, watch, wishes)


def build(
    config: Configured,
    *,
    options: BuildOptions | None = None,
    encoder: Encoder | None = None,
    chunker: DocumentChunker | None = None,
    progress: ProgressFactory = silent,
    **keywords: Unpack[BuildKeywords],
) -> BuildReport:
    """Bring the index up to date with its sources: ingest, encode, publish. Encodes only new and changed documents.

    `full`, `strict`, `rehash`, `allow_deletes` and `note` are those of `ingest` and `encode`; `cluster`: whose
    workers read, cut and encode (`ray`, `ray://HOST:PORT`); `options` holds all of these as one record. `encoder`:
    an object of the application's own (`pipeline.models.contract.Encoder`) in place of the one that the settings
    name. It encodes in this process, whatever `encode.devices` says. `chunker`: an object of the application's own
    (`pipeline.ingest.cutting.contract.DocumentChunker`) in place of the one that the settings make.
    A crash at any point leaves the live generation as it was. Raises what `ingest` and `encode` raise.
    """
    injected, wanted = Injected.passed(encoder, chunker), BuildOptions.of(options, **keywords)
    config, watch = injected.settled(configured(config)), Stopwatch(reporter(progress))
    with (
        writing(config, watch),
        failure.noted(config.index_path, watch),
        reached(wanted.cluster, injected) as cluster,
    ):
        wishes = Wishes(_golden(config), wanted.note, wanted.allow_deletes, cluster=cluster)
        config = injected.following(config, wanted.full)
        loaded = injected.encoder(config)
        report = _ingest(config, loaded, injected, wanted, watch, cluster)
        config, loaded = injected.suited_to_texts(config, loaded, config.index_path, report.staged)
        return commit.encode_and_publish(config, loaded, report, watch, wishes)


def publish(
    config: Configured,
    *,
    force: bool = False,
    encoder: Encoder | None = None,
    progress: ProgressFactory = silent,
) -> Manifest:
    """Publish the generation that the quality gate refused, if it passes now, or whatever the gate says if `force`.

    `encoder`: as in `build`. Raises `GateRefusedError`, `IndexNotFoundError` if none is staged, `IndexStoreError`
    if another generation was published since, `CorruptIndexError`, `IndexLockedError`.
    """
    config, force, progress = configured(config), flag("force", force), reporter(progress)
    injected, index = Injected.passed(encoder), config.index_path
    with writing(config, progress):
        manifest = commit.staged_candidate(index)
        if force:
            reasons = "; ".join(manifest.statistics.refusals)
            manifest = dataclasses.replace(manifest, note=manifest.note or f"published by force: {reasons}")
        else:
            config, before = injected.suited_to(config, manifest), manifest.statistics.circumstances
            evidence = gather(config, injected.encoder(config), manifest, _golden(config), before, progress)
            statistics = manifest.statistics.judged(judge(config.gate, evidence), evidence.known_items_record())
            manifest = dataclasses.replace(manifest, statistics=statistics)
            if statistics.refusals:
                raise GateRefusedError(commit.refusal(index, manifest))
        commit.publish(config, manifest, progress)
        _retell(index, manifest)
        if (remote := RemoteIndex.configured(config)) is not None:
            reports.push(remote, manifest.generation)
    return manifest


def _retell(index: Path, manifest: Manifest) -> None:
    """Say in the report of a build that was refused that its generation is live now."""
    try:
        record = load_record(index, manifest.generation)
    except IndexStoreError as error:
        log.warning("the report stays as it was: %s", error)
        return
    refusals = manifest.statistics.refusals
    write(index, dataclasses.replace(record, status="published", note=manifest.note, refusals=refusals))


def plan(
    config: Configured,
    *,
    full: bool = False,
    rehash: bool = False,
    encoder: Encoder | None = None,
    chunker: DocumentChunker | None = None,
    progress: ProgressFactory = silent,
) -> BuildPlan:
    """Say what `build` would do and cost: compares all sources, writes nothing. Raises what `ingest` raises."""
    config, progress = configured(config), reporter(progress)
    wanted, injected = IngestOptions(full=full, rehash=rehash), Injected.passed(encoder, chunker)
    if (remote := RemoteIndex.configured(config)) is not None:
        with contextlib.suppress(IndexNotFoundError):
            pull(remote, progress=progress)
    config, live = injected.following(config, wanted.full), _followed(config, wanted.full)
    loaded = injected.encoder(config)
    with planning.temporary_index() as name:
        folder = Path(name)
        lend_mirrors(config, config.index_path, folder)
        staged, rejections, _ = _stage(config, folder, loaded, injected, wanted, progress)
        config, loaded = injected.suited_to_texts(config, loaded, folder, staged)
        tokenizer = chunk_tokenizer(config.encoder, base=config.base)
        prints = list(encoding.fingerprints(loaded, config.segments).values())
        shape = encoding.shape(loaded, config.segments)
        missing = take_inventory(folder, staged, prints, shape, config.index_path, live).missing
        return planning.estimate(config, folder, staged, missing, rejections, loaded, tokenizer)


def _ingest(
    config: Config,
    encoder: Encoder,
    injected: Injected,
    options: IngestOptions,
    progress: ProgressFactory,
    cluster: Cluster | None = None,
) -> IngestReport:
    index = config.index_path
    staged, rejections, reading = _stage(config, index, encoder, injected, options, progress, cluster)
    path = save_rejections(index, staged.base_generation + 1, rejections)
    if rejections and options.strict:
        staging.discard_ingest(index)
        noun = "document was" if len(rejections) == 1 else "documents were"
        raise RejectedDocumentsError(f"{len(rejections)} {noun} rejected; {path} lists all, with reasons")
    refusal = None if options.allow_deletes else planning.deletion_refusal(staged, config.max_delete_ratio)
    if refusal is not None:
        staging.discard_ingest(index)
        raise DeletionGuardError(f"{index}: {refusal}")
    return IngestReport(staged, rejections, path, reading)


def _stage(
    config: Config,
    target: Path,
    encoder: Encoder,
    injected: Injected,
    options: IngestOptions,
    progress: ProgressFactory,
    cluster: Cluster | None = None,
) -> tuple[StagedIngest, tuple[Rejection, ...], Reading]:
    """Compare the sources with the live generation and stage what is new below `target`."""
    index, full = config.index_path, options.full
    if not config.sources:
        raise ConfigError("no sources are configured; add `sources: [{path: …}]` to config.yaml")
    found = discover(config, fetch_sources(config, target, progress))
    live = _followed(config, full)
    chunker = injected.chunker(config, encoder, live.fingerprint("chunker") if live else None)
    if live is not None:
        commit.check_fingerprints(config, live, encoder, chunker.fingerprint)
    if isinstance(encoder, PrecomputedEncoder):
        found = iter(giving(found, encoder.wanted, encoder.made_by))
    base = manifests.live_number(index)
    documents_live = store.live_documents(index, live)
    cut_before = CutBefore(target, chunker.fingerprint)
    recorded = Recorded.nothing() if options.rehash else load_ledger(index)
    read_before = None if options.rehash else FilesBefore.of(cut_before, recorded)
    ledger = Ledger(config.ingest, Recorded.nothing() if full else recorded, documents_live, read_before)
    run = IngestRun(documents_live, config.ingest.document_seconds, cut_before, ledger)
    with progress("ingest", None, "doc") as bar:

        def unread(label: str, documents: int) -> None:
            run.unread(label, documents)
            bar.update(documents)

        def cut_already() -> DocumentKeys:
            return documents_live.document_keys().with_others(cut_before.keys)

        elsewhere = cluster.readers(config) if cluster else None
        workers = None if injected.own_chunker else workers_of(config, chunker, cut_already, elsewhere)
        documents = read_sources(found, config.ingest, run.reject, ledger, unread, workers)
        with contextlib.closing(documents):
            counted = _counted(documents, bar, workers.tally if workers else Tally())
            staged = run.stage(target, counted, chunker, _shard_chunks(config, encoder), base, full)
    ledger.save(target)
    return staged, tuple(run.rejections), workers.tally.reading if workers else Reading()


def _followed(config: Config, full: bool) -> Manifest | None:
    """The live generation that a build takes over from, `None` for a full build or the first one."""
    return None if full else store.live_manifest(config.index_path)


def _counted(documents: Iterable[ReadDocument], bar: Progress, tally: Tally) -> Iterator[ReadDocument]:
    told = ""
    for document in documents:
        yield document
        bar.update()
        if (line := str(tally)) != told:
            remark(bar, told := line)


def _golden(config: Config) -> Golden:
    return load_golden(config.gate, config.query, config.base)


def _shard_chunks(config: Config, encoder: Encoder) -> int:
    chunks = config.encode.shard_chunks
    for endpoint in filter(None, (config.encoder.endpoint, config.encoder.lexical_endpoint)):
        chunks = min(chunks, max(ENDPOINT_SHARD_CHUNKS, 2 * endpoint.batch_texts * endpoint.concurrency))
    return min(chunks, MULTIVECTOR_SHARD_CHUNKS) if encoder.gives_multivectors else chunks
