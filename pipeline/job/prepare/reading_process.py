"""The program that reads and cuts documents beside a build: it makes the chunker that the build has."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.config import ChunkingSettings, Config, EncoderSettings
from pipeline.index.live import DocumentKeys
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.ingest.cutting.contract import DocumentChunker
from pipeline.ingest.workers.pool import Workers
from pipeline.ingest.workers.process import WorkerSetup
from pipeline.ingest.workers.program import Elsewhere, LocalProgram
from pipeline.ingest.workers.worker import serve
from pipeline.models.choose.encoder import chunk_tokenizer
from pipeline.models.choose.kinds import resolve

AUTO_MOST = 8
"""The build itself keeps about a tenth of the work, and each process a tokenizer."""


def workers_of(
    config: Config, chunker: DocumentChunker, known: Callable[[], DocumentKeys], elsewhere: Elsewhere | None = None
) -> Workers | None:
    """The processes that a build may read and cut with; `None` if it does so itself.

    `chunker`: that which `config` names. An object of a program's own has no description that another process could
    make it from, and a kind of encoder that a program registered is known only where `cluster.imports` says it.
    `known`: which documents they need not cut. `elsewhere`: machines on which they run, if not on this one.
    """
    wanted = config.ingest.processes
    if elsewhere is None:
        count = process_count(wanted)
    else:
        count = min(elsewhere.count, wanted if isinstance(wanted, int) else AUTO_MOST)
    here = wanted == 1 or (elsewhere is None and count < 2)
    imports = config.cluster.imports if elsewhere is not None else []
    is_known = imports or resolve(config.encoder).is_built_in
    if here or type(chunker) is not Chunker or not is_known:
        return None
    facts = {
        "chunking": chunker.settings.model_dump(mode="json"),
        "encoder": config.encoder.model_dump(mode="json"),
        "base": str(config.base.absolute()),
        "imports": imports,
    }
    setup = WorkerSetup(__name__, facts, config.ingest)
    start = LocalProgram if elsewhere is None else elsewhere.start
    return Workers(setup, count, chunker.fingerprint, lambda: known().to_bytes(), start)


def process_count(wanted: int | str) -> int:
    """How many processes read and cut: as many as wanted, or one for each core that may be used."""
    if isinstance(wanted, int):
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, AUTO_MOST)


def _chunker(facts: dict[str, Any]) -> DocumentChunker:
    for module in facts["imports"]:
        import_module(module)
    tokenizer = chunk_tokenizer(EncoderSettings.model_validate(facts["encoder"]), base=Path(facts["base"]))
    return Chunker(ChunkingSettings.model_validate(facts["chunking"]), tokenizer)


if __name__ == "__main__":
    serve(_chunker)
