"""What a build did: as its caller gets it, and as its report keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.encode.stage import EncodedParts
from pipeline.evaluate.difference import Difference
from pipeline.index.manifest import LexicalRecall, Manifest, lexical_recall
from pipeline.index.staging import Changes, StagedIngest
from pipeline.ingest.workers.tally import Reading
from pipeline.job.comparison.collapse import Compared
from pipeline.job.gate import Evidence
from pipeline.job.report.record import MOST_REJECTIONS, BuildRecord, ChunkLengths
from pipeline.job.stopwatch import Stopwatch, peak_memory
from pipeline.query.log.reader import QueryLogSummary
from pipeline.records import Rejection


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest found and staged. `rejects_file` lists the rejections, if there are any.

    `reading`: what workers of a cluster did of it.
    """

    staged: StagedIngest
    rejections: tuple[Rejection, ...]
    rejects_file: Path | None
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. `published` is false when the live generation already was up to date.

    `reused_chunks`: staged chunks that were not encoded, since their text was already.
    `lexical_recall`: `None` where the lexical leg is exact.
    """

    published: bool
    generation: int
    documents: int
    chunks: int
    changes: Changes
    encoded_chunks: int
    reused_chunks: int
    rejections: tuple[Rejection, ...]
    rejects_file: Path | None
    seconds: float
    measures: Mapping[str, float] = field(default_factory=dict)
    lexical_recall: LexicalRecall | None = None

    @property
    def added(self) -> int:
        """Documents that are new."""
        return self.changes.added

    @property
    def changed(self) -> int:
        """Documents whose content or file is another."""
        return self.changes.changed

    @property
    def unchanged(self) -> int:
        """Documents that are as they were."""
        return self.changes.unchanged

    @property
    def deleted(self) -> int:
        """Documents that the sources no longer have."""
        return self.changes.deleted

    @property
    def moved(self) -> tuple[tuple[str, str], ...]:
        """Old and new id of documents whose content is the same; they count neither as added nor as deleted."""
        return self.changes.moved


def summary(
    manifest: Manifest, report: IngestReport, watch: Stopwatch, encoded: EncodedParts | None
) -> BuildReport:
    """What the caller of a build gets. `encoded` is `None` if nothing was published."""
    return BuildReport(
        published=encoded is not None,
        generation=manifest.generation,
        documents=manifest.documents,
        chunks=manifest.chunks,
        changes=report.staged.changes,
        encoded_chunks=encoded.encoded_chunks if encoded else 0,
        reused_chunks=encoded.reused_chunks if encoded else 0,
        rejections=report.rejections,
        rejects_file=report.rejects_file,
        seconds=watch.seconds,
        measures=manifest.statistics.measures,
        lexical_recall=lexical_recall(manifest),
    )


def record(
    manifest: Manifest,
    evidence: Evidence,
    report: IngestReport,
    watch: Stopwatch,
    encoded: int,
    lengths: ChunkLengths | None,
    known_items: tuple[Compared, ...] = (),
    difference: Difference | None = None,
    queries: QueryLogSummary | None = None,
) -> BuildRecord:
    """What the report of a finished build keeps. `encoded`: chunks that went through the encoder."""
    staged, changes = report.staged, report.staged.changes
    refusals = manifest.statistics.refusals
    return BuildRecord(
        generation=manifest.generation,
        status="refused" if refusals else "published",
        created_at=manifest.created_at,
        seconds=watch.seconds,
        documents=manifest.documents,
        chunks=manifest.chunks,
        segments=len(manifest.segments),
        bytes=sum(file.size for entry in manifest.segments for file in entry.files),
        added=changes.added,
        changed=changes.changed,
        deleted=changes.deleted,
        unchanged=changes.unchanged,
        held=staged.held,
        new_chunks=staged.chunks,
        encoded=encoded,
        full=staged.full,
        peak_bytes=peak_memory(),
        stages=tuple(watch.stages),
        rejected=staged.rejected,
        rejections=report.rejections[:MOST_REJECTIONS],
        lengths=lengths,
        measures=manifest.statistics.measures,
        live_measures=evidence.live_measures,
        refusals=refusals,
        note=manifest.note,
        moved=len(changes.moved),
        known_items=known_items,
        difference=difference,
        queries=queries,
        reading=report.reading,
        lexical_recall=lexical_recall(manifest),
    )
