"""The record of one build, `reports/<generation>.json`, and the page beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from pipeline.errors import CorruptIndexError, IndexNotFoundError
from pipeline.evaluate.difference import Difference
from pipeline.index import files
from pipeline.index.manifest import LexicalRecall
from pipeline.index.schemas import as_array
from pipeline.ingest.workers.tally import Reading
from pipeline.job.cluster.workers import Trouble, WorkerShare
from pipeline.job.comparison.collapse import Compared
from pipeline.job.stopwatch import StageTime
from pipeline.query.log.reader import QueryLogSummary
from pipeline.records import Rejection

REPORTS = "reports"
MOST_REJECTIONS = 500
"""So many rejections stand in a record; rejects/ lists all."""
_BINS = 24
_NAME = re.compile(r"(\d{8})\.json")


@dataclass(frozen=True, slots=True)
class ChunkLengths:
    """Lengths in characters of the chunks of a build: `counts[i]` of them are in [edges[i], edges[i + 1])."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float
    median: float
    longest: int


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One build. `status`: `published` or `refused`; `encoded`: chunks that went through the encoder in this run.

    `documents` to `bytes` describe the whole generation. `live_measures`: of the generation it was compared with.
    `lexical_recall`: `None` where the lexical leg is exact. `workers`, `troubles`: of a build on a cluster, the
    first troubles only, of `trouble_count`; `reading`: of its workers that read. `known_items`: how passages are
    found by their words.
    `difference`: from the live generation, with some of the queries whose first hits are others. `queries`: what
    the log of queries tells.
    """

    generation: int
    status: str
    created_at: str
    seconds: float
    documents: int
    chunks: int
    segments: int
    bytes: int
    added: int
    changed: int
    deleted: int
    unchanged: int
    held: int
    new_chunks: int
    encoded: int
    full: bool
    peak_bytes: int
    stages: tuple[StageTime, ...]
    rejected: int
    rejections: tuple[Rejection, ...] = ()
    lengths: ChunkLengths | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    live_measures: Mapping[str, float] | None = None
    refusals: tuple[str, ...] = ()
    note: str = ""
    moved: int = 0
    lexical_recall: LexicalRecall | None = None
    workers: tuple[WorkerShare, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    trouble_count: int = 0
    reading: Reading = field(default_factory=Reading)
    known_items: tuple[Compared, ...] = ()
    difference: Difference | None = None
    queries: QueryLogSummary | None = None


@cache
def _adapter() -> TypeAdapter[BuildRecord]:
    return TypeAdapter(BuildRecord)


def record_path(index: Path, generation: int) -> Path:
    """Where the record of a generation stands."""
    return index / REPORTS / f"{generation:08d}.json"


def page_path(index: Path, generation: int) -> Path:
    """Where the page of a generation stands."""
    return record_path(index, generation).with_suffix(".html")


def save(index: Path, record: BuildRecord, page: str) -> Path:
    """Write a record and its page; returns the page's path."""
    path = page_path(index, record.generation)
    files.write_file(record_path(index, record.generation), _adapter().dump_json(record, indent=1) + b"\n")
    files.write_file(path, page.encode("utf-8", "replace"))
    return path


def numbers(index: Path) -> list[int]:
    """Generations that have a record, ascending."""
    try:
        names = [path.name for path in (index / REPORTS).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def load(index: Path, generation: int | None = None) -> BuildRecord:
    """The record of a generation or of the last build. Raises `IndexNotFoundError`, `CorruptIndexError`."""
    known = numbers(index)
    if not known or (generation is not None and generation not in known):
        which = f"no report of generation {generation}" if known else "no reports: every build writes one"
        raise IndexNotFoundError(f"{index}: {which}; there are: {', '.join(map(str, known[-10:])) or 'none'}")
    path = record_path(index, known[-1] if generation is None else generation)
    try:
        return _adapter().validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a report of this version"
        raise CorruptIndexError(
            f"{path}: cannot be read ({reason}); delete it, the next build writes its own"
        ) from None


def history(index: Path, before: int, count: int = 19) -> list[BuildRecord]:
    """The records of up to `count` generations before one, oldest first; what cannot be read is left out."""
    records = []
    for number in [number for number in numbers(index) if number < before][-count:]:
        try:
            records.append(load(index, number))
        except CorruptIndexError:
            continue  # a plot with a gap is better than no page
    return records


def chunk_lengths(parts: Sequence[Path]) -> ChunkLengths | None:
    """Lengths of the chunks in staged parts, `None` if there are none."""
    blocks = []
    for part in parts:
        table = pq.read_table(part, columns=["start", "end"])
        ends, starts = (as_array(table[name].combine_chunks()) for name in ("end", "start"))
        blocks.append(ends - starts)
    lengths = np.concatenate(blocks) if blocks else np.zeros(0, np.int64)
    if not len(lengths):
        return None
    counts, edges = np.histogram(lengths, bins=_BINS, range=(0, float(max(int(lengths.max()), 1))))
    return ChunkLengths(
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
        mean=float(lengths.mean()),
        median=float(np.median(lengths)),
        longest=int(lengths.max()),
    )
