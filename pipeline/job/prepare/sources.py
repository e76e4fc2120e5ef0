"""Sources compared with the live generation: what is new or changed is staged as chunks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.cut.before import CutBefore
from pipeline.index.live import DocumentKeys
from pipeline.index.manifest import Manifest
from pipeline.index.staging import StagedIngest
from pipeline.ingest.fetching.kinds import fetch_sources
from pipeline.ingest.given_sources import giving
from pipeline.ingest.guard import ReadDocument
from pipeline.ingest.ledger import Ledger, Recorded, load_ledger
from pipeline.ingest.memory import give_back_memory
from pipeline.ingest.read_before import FilesBefore
from pipeline.ingest.readers import discover, read_sources
from pipeline.ingest.stage import IngestRun
from pipeline.ingest.workers.tally import Reading, Tally
from pipeline.job import commit
from pipeline.job.cluster.reach import Cluster
from pipeline.job.injected import Injected
from pipeline.job.options import IngestOptions
from pipeline.job.prepare.reading_process import workers_of
from pipeline.models.contract import Encoder
from pipeline.models.precomputed import PrecomputedEncoder
from pipeline.progress import Progress, ProgressFactory, remark
from pipeline.records import Rejection

MULTIVECTOR_SHARD_CHUNKS = 512
"""A shard is encoded in memory: with a float32 vector a token, 512 chunks of 256 tokens of BGE-M3 take 0.5 GB."""

ENDPOINT_SHARD_CHUNKS = 256
"""What a failed build has to pay a server for again is at most a shard; the default requests fill it twice over."""


def stage_sources(
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
    live = followed(config, full)
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
        if len(cut_before):
            remark(bar, f"{len(cut_before):,} cut before")

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
            staged = run.stage(target, counted, chunker, shard_chunks(config, encoder), base, full)
    ledger.save(target)
    give_back_memory()
    return staged, tuple(run.rejections), workers.tally.reading if workers else Reading()


def followed(config: Config, full: bool) -> Manifest | None:
    """The live generation that a build takes over from, `None` for a full build or the first one."""
    return None if full else store.live_manifest(config.index_path)


def _counted(documents: Iterable[ReadDocument], bar: Progress, tally: Tally) -> Iterator[ReadDocument]:
    told = ""
    for document in documents:
        yield document
        bar.update()
        if (line := str(tally)) != told:
            remark(bar, told := line)


def shard_chunks(config: Config, encoder: Encoder) -> int:
    """How many chunks a part holds, and so a shard."""
    chunks = config.encode.shard_chunks
    for endpoint in filter(None, (config.encoder.endpoint, config.encoder.lexical_endpoint)):
        chunks = min(chunks, max(ENDPOINT_SHARD_CHUNKS, 2 * endpoint.batch_texts * endpoint.concurrency))
    return min(chunks, MULTIVECTOR_SHARD_CHUNKS) if encoder.gives_multivectors else chunks
