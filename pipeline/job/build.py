"""The nightly job: compare sources with the live generation, ingest, encode, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipeline.arguments import flag, flags, reporter, text
from pipeline.config import Config, configured
from pipeline.encode import stage as encoding
from pipeline.encode.reuse import take_inventory
from pipeline.errors import (
    ConfigError,
    DeletionGuardError,
    GateRefusedError,
    IndexStoreError,
    RejectedDocumentsError,
)
from pipeline.index import files, staging, store
from pipeline.index import manifest as manifests
from pipeline.index.lexical import seismic_writer
from pipeline.index.lexical.seismic_writer import LexicalChoice
from pipeline.index.manifest import Manifest
from pipeline.index.staging import StagedIngest
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.ingest.ledger import Ledger, load_ledger
from pipeline.ingest.readers import discover, read_documents
from pipeline.ingest.stage import IngestRun, load_rejections, save_rejections
from pipeline.job import commit
from pipeline.job import plan as planning
from pipeline.job.build_report import BuildReport, IngestReport
from pipeline.job.commit import Wishes
from pipeline.job.evidence import gather
from pipeline.job.gate import judge
from pipeline.job.golden import Golden, load_golden
from pipeline.job.plan import BuildPlan
from pipeline.job.report import failure
from pipeline.job.report.page import write
from pipeline.job.report.record import load as load_record
from pipeline.job.stopwatch import Stopwatch
from pipeline.models.choose.encoder import chunk_tokenizer, load_encoder
from pipeline.models.contract import Encoder
from pipeline.progress import Progress, ProgressFactory, silent
from pipeline.records import Document, Fingerprint, Rejection

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
    full: bool = False,
    strict: bool = False,
    rehash: bool = False,
    allow_deletes: bool = False,
    progress: ProgressFactory = silent,
) -> IngestReport:
    """Read the sources and stage the chunks of new and changed documents for `encode`.

    `full` takes nothing over from the live generation. `strict` raises `RejectedDocumentsError` if any document is
    rejected. `rehash` reads every file, also those that look as they did when they were last read. `allow_deletes`
    lifts the guard `max_delete_ratio`, which otherwise raises `DeletionGuardError`.
    Raises `ConfigError`, `SourceError`, `IncompatibleIndexError`, `IndexLockedError`.
    """
    config, watch = configured(config), Stopwatch(reporter(progress))
    full, strict, rehash, allow_deletes = flags(
        full=full, strict=strict, rehash=rehash, allow_deletes=allow_deletes
    )
    with _lock(config), failure.noted(config.index_path, watch):
        return _ingest(config, _encoder(config), full, strict, rehash, allow_deletes, watch)


def encode(
    config: Configured, *, allow_deletes: bool = False, note: str = "", progress: ProgressFactory = silent
) -> BuildReport:
    """Encode what `ingest` staged and publish it as a new generation, unless the quality gate refuses it.

    `note` is kept in the generation. Raises `IndexStoreError` if nothing is staged or the index has moved on since,
    `GateRefusedError`, `EncoderError`, `IndexLockedError`.
    """
    config, watch = configured(config), Stopwatch(reporter(progress))
    index, note, allow_deletes = config.index_path, text("note", note), flag("allow_deletes", allow_deletes)
    with _lock(config), failure.noted(index, watch):
        wishes = Wishes(_golden(config), note, allow_deletes)
        staged = staging.load_ingest(index)
        if staged is None:
            raise IndexStoreError(f"{index}: nothing is staged; run `pipeline ingest` first, or `pipeline build`")
        encoder, chunker = _encoder(config), _chunker(config).fingerprint
        if changed := Fingerprint(tuple(sorted(staged.chunker.items()))).differences(chunker):
            raise IndexStoreError(
                f"{index}: staged with other settings (staged → configured): {'; '.join(changed)}; "
                "run `pipeline ingest` again"
            )
        rejections, path = load_rejections(index, staged.base_generation + 1) if staged.rejected else ((), None)
        return commit.encode_and_publish(config, encoder, IngestReport(staged, rejections, path), watch, wishes)


def build(
    config: Configured,
    *,
    full: bool = False,
    strict: bool = False,
    rehash: bool = False,
    allow_deletes: bool = False,
    note: str = "",
    progress: ProgressFactory = silent,
) -> BuildReport:
    """Bring the index up to date with its sources: ingest, encode, publish. Encodes only new and changed documents.

    A crash at any point leaves the live generation as it was. Raises what `ingest` and `encode` raise.
    """
    config, watch, note = configured(config), Stopwatch(reporter(progress)), text("note", note)
    full, strict, rehash, allow_deletes = flags(
        full=full, strict=strict, rehash=rehash, allow_deletes=allow_deletes
    )
    with _lock(config), failure.noted(config.index_path, watch):
        wishes = Wishes(_golden(config), note, allow_deletes)
        encoder = _encoder(config)
        report = _ingest(config, encoder, full, strict, rehash, allow_deletes, watch)
        return commit.encode_and_publish(config, encoder, report, watch, wishes)


def publish(config: Configured, *, force: bool = False, progress: ProgressFactory = silent) -> Manifest:
    """Publish the generation that the quality gate refused, if it passes now, or whatever the gate says if `force`.

    Raises `GateRefusedError`, `IndexNotFoundError` if none is staged, `IndexStoreError` if another generation was
    published since, `CorruptIndexError`, `IndexLockedError`.
    """
    config, force, progress = configured(config), flag("force", force), reporter(progress)
    index = config.index_path
    with _lock(config):
        manifest = commit.staged_candidate(index)
        if force:
            reasons = "; ".join(manifest.statistics.refusals)
            manifest = dataclasses.replace(manifest, note=manifest.note or f"published by force: {reasons}")
        else:
            before = manifest.statistics.circumstances
            evidence = gather(config, _encoder(config), manifest, _golden(config), before, progress)
            statistics = manifest.statistics.judged(judge(config.gate, evidence))
            manifest = dataclasses.replace(manifest, statistics=statistics)
            if statistics.refusals:
                raise GateRefusedError(commit.refusal(index, manifest))
        commit.publish(config, manifest)
        _retell(index, manifest)
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
    config: Configured, *, full: bool = False, rehash: bool = False, progress: ProgressFactory = silent
) -> BuildPlan:
    """What `build` would do and cost: compares all sources, writes nothing. Raises what `ingest` raises."""
    config, progress = configured(config), reporter(progress)
    full, rehash = flags(full=full, rehash=rehash)
    encoder = _encoder(config)
    with planning.temporary_index() as name:
        folder = Path(name)
        staged, rejections = _stage(config, encoder, folder, full, rehash, progress)
        tokenizer = chunk_tokenizer(config.encoder, base=config.base)
        prints = list(encoding.fingerprints(encoder, config.segments).values())
        live = None if full else store.live_manifest(config.index_path)
        missing = take_inventory(folder, staged, prints, config.segments.dense, config.index_path, live).missing
        return planning.estimate(config, folder, staged, missing, rejections, encoder, tokenizer)


def _ingest(
    config: Config,
    encoder: Encoder,
    full: bool,
    strict: bool,
    rehash: bool,
    allow_deletes: bool,
    progress: ProgressFactory,
) -> IngestReport:
    index = config.index_path
    staged, rejections = _stage(config, encoder, index, full, rehash, progress)
    path = save_rejections(index, staged.base_generation + 1, rejections)
    if rejections and strict:
        staging.discard_ingest(index)
        noun = "document was" if len(rejections) == 1 else "documents were"
        raise RejectedDocumentsError(f"{len(rejections)} {noun} rejected; {path} lists all, with reasons")
    refusal = None if allow_deletes else planning.deletion_refusal(staged, config.max_delete_ratio)
    if refusal is not None:
        staging.discard_ingest(index)
        raise DeletionGuardError(f"{index}: {refusal}")
    return IngestReport(staged, rejections, path)


def _stage(
    config: Config, encoder: Encoder, target: Path, full: bool, rehash: bool, progress: ProgressFactory
) -> tuple[StagedIngest, tuple[Rejection, ...]]:
    """Compare the sources with the live generation and stage what is new below `target`."""
    index = config.index_path
    if not config.sources:
        raise ConfigError("no sources are configured; add `sources: [{path: …}]` to config.yaml")
    found = discover(config)
    tokenizer = chunk_tokenizer(config.encoder, base=config.base)
    planning.warn_of_unread_tokens(config, encoder, tokenizer)
    chunker = Chunker(config.chunking, tokenizer)
    live = None if full else store.live_manifest(index)
    if live is not None:
        commit.check_fingerprints(config, live, encoder, chunker.fingerprint)
    base = manifests.live_number(index)
    documents_live = store.live_documents(index, live)
    run = IngestRun(documents_live, config.ingest.document_seconds)
    ledger = Ledger(config.ingest, {} if full or rehash else load_ledger(index), documents_live)
    with progress("ingest", None, "doc") as bar:

        def unread(doc_ids: Sequence[str]) -> None:
            run.unread(doc_ids)
            bar.update(len(doc_ids))

        documents = _counted(read_documents(found, config.ingest, run.reject, ledger, unread), bar)
        staged = run.stage(
            target, documents, chunker.chunk, chunker.fingerprint, _shard_chunks(config, encoder), base, full
        )
    ledger.save(target)
    return staged, tuple(run.rejections)


def _counted(documents: Iterable[Document], bar: Progress) -> Iterator[Document]:
    for document in documents:
        yield document
        bar.update()


@contextlib.contextmanager
def _lock(config: Config) -> Iterator[None]:
    """The writer lock of the configured index. Raises `ConfigError` if `index` is no place for a folder."""
    try:
        files.make_folder(config.index_path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP):
            raise
        raise ConfigError(
            f"index: {config.index_path}: no folder can be made there: {error.strerror}; correct `index`"
        ) from None
    with store.lock(config.index_path):
        yield


def _golden(config: Config) -> Golden:
    return load_golden(config.gate, config.query, config.base)


def _chunker(config: Config) -> Chunker:
    return Chunker(config.chunking, chunk_tokenizer(config.encoder, base=config.base))


def _encoder(config: Config) -> Encoder:
    """The configured encoder; refuses a lexical index that it does not suit, before anything is read."""
    encoder = load_encoder(config.encoder, base=config.base, batch_tokens=config.encode.batch_tokens)
    wanted = LexicalChoice(config.segments.lexical, config.segments.recall_target)
    seismic_writer.check(wanted, encoder.lexical_scoring.kind)
    return encoder


def _shard_chunks(config: Config, encoder: Encoder) -> int:
    chunks = config.encode.shard_chunks
    for endpoint in filter(None, (config.encoder.endpoint, config.encoder.lexical_endpoint)):
        chunks = min(chunks, max(ENDPOINT_SHARD_CHUNKS, 2 * endpoint.batch_texts * endpoint.concurrency))
    return min(chunks, MULTIVECTOR_SHARD_CHUNKS) if encoder.gives_multivectors else chunks
