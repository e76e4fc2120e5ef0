"""The nightly job: compare sources with the live generation, ingest, encode, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from pathlib import Path
from typing import Unpack

from pipeline.arguments import flag, reporter, text
from pipeline.config import Config, configured
from pipeline.encode import stage as encoding
from pipeline.encode.reuse import take_inventory
from pipeline.errors import (
    DeletionGuardError,
    GateRefusedError,
    IndexNotFoundError,
    IndexStoreError,
    RejectedDocumentsError,
)
from pipeline.index import staging
from pipeline.index.manifest import Manifest
from pipeline.ingest.cutting.contract import DocumentChunker
from pipeline.ingest.fetching.kinds import lend_mirrors
from pipeline.ingest.stage import load_rejections, save_rejections
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
from pipeline.job.prepare.sources import followed, stage_sources
from pipeline.job.prepare.staged import staged_build, writing
from pipeline.job.report import failure
from pipeline.job.report.page import write
from pipeline.job.report.record import load as load_record
from pipeline.job.stopwatch import Stopwatch
from pipeline.models.choose.encoder import chunk_tokenizer
from pipeline.models.contract import Encoder
from pipeline.progress import ProgressFactory, silent
from pipeline.remote import reports
from pipeline.remote.place import RemoteIndex
from pipeline.remote.pull import pull

log = logging.getLogger(__name__)

__all__ = ["BuildReport", "IngestReport", "build", "encode", "encoding", "ingest", "plan", "publish"]

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
    config, live = injected.following(config, wanted.full), followed(config, wanted.full)
    loaded = injected.encoder(config)
    with planning.temporary_index() as name:
        folder = Path(name)
        lend_mirrors(config, config.index_path, folder)
        staged, rejections, _ = stage_sources(config, folder, loaded, injected, wanted, progress)
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
    staged, rejections, reading = stage_sources(config, index, encoder, injected, options, progress, cluster)
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


def _golden(config: Config) -> Golden:
    return load_golden(config.gate, config.query, config.base)
