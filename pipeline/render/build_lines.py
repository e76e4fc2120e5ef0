"""What the command line prints: summaries and tables. No click, no reading of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.index.manifest import Manifest
from pipeline.records import Rejection
from pipeline.wording import counted, printable

if TYPE_CHECKING:
    from pipeline.index.manifest import LexicalRecall
    from pipeline.index.staging import Changes, StagedIngest
    from pipeline.job.build_report import BuildReport
    from pipeline.job.plan import BuildPlan


def report_line(report: BuildReport) -> str:
    """What a build did, for a log."""
    changes = _counted(report.changes)
    if not report.published:
        return f"nothing to do: generation {report.generation} is up to date ({changes})"
    return (
        f"published generation {report.generation}: {counted(report.documents, 'document')}, "
        f"{counted(report.chunks, 'chunk')} ({changes}; {counted(report.encoded_chunks, 'chunk')} encoded, "
        f"{report.reused_chunks:,} reused, "
        f"in {report.seconds:.1f} s)"
    )


def _counted(changes: Changes) -> str:
    return (
        f"{changes.added:,} added, {changes.changed:,} changed, {len(changes.moved):,} moved, "
        f"{changes.deleted:,} deleted, {changes.unchanged:,} unchanged"
    )


def recall_lines(recall: LexicalRecall | None) -> list[str]:
    """What an approximate lexical leg finds of what the exact one would; nothing where it is exact."""
    if recall is None:
        return []
    some = (
        "" if recall.segments == recall.all_segments else f" in {recall.segments} of {recall.all_segments} segments"
    )
    worst = f", {recall.least:.3f} in the worst segment" if recall.segments > 1 else ""
    return [f"the approximate lexical leg{some} finds {recall.mean:.3f} of the exact leg's ten best{worst}"]


def moved_lines(moved: Sequence[tuple[str, str]], limit: int = 10) -> list[str]:
    """The first documents that moved, by old and new id."""
    lines = [printable(f"moved {old} → {new}") for old, new in moved[:limit]]
    return [*lines, f"… and {len(moved) - limit:,} more moved"] if len(moved) > limit else lines


def staged_line(staged: StagedIngest) -> str:
    """What an ingest staged, for a log."""
    changes = _counted(staged.changes)
    return (
        f"staged {counted(staged.chunks, 'chunk')} of {counted(staged.read, 'document')} ({changes}); "
        "`pipeline encode` publishes them"
    )


def plan_lines(plan: BuildPlan) -> list[str]:
    """What a build would do, what it would add to the disk, and how long it would take."""
    lines = [
        f"would encode {counted(plan.chunks, 'chunk')}, about {counted(plan.tokens, 'token')}, "
        f"and reuse {plan.reused_chunks:,} ({_counted(plan.changes)})",
        f"dense vectors {size(plan.dense_bytes)}, lexical weights about {size(plan.lexical_bytes)}",
    ]
    if plan.multivector_bytes:
        lines.append(f"multi-vectors about {size(plan.multivector_bytes)}")
    if plan.chunks and plan.rate is not None and plan.seconds is not None:
        rate = plan.rate.chunks_per_second
        lines.append(
            f"about {duration(plan.seconds)} to encode, at the {rate:,.1f} chunks a second of the last build"
        )
    elif plan.chunks:
        lines.append("time unknown: no build with this encoder has been measured here yet")
    return lines + moved_lines(plan.changes.moved)


def duration(seconds: float) -> str:
    """Seconds in the unit that suits."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def rejection_lines(rejections: Sequence[Rejection], rejects_file: Path | None, limit: int = 10) -> list[str]:
    """The first rejected documents, with reasons, and where all of them are listed."""
    lines = [printable(f"rejected {rejection.source}: {rejection.reason}") for rejection in rejections[:limit]]
    if len(rejections) > limit:
        lines.append(f"… and {len(rejections) - limit:,} more")
    if rejections:
        was = "was" if len(rejections) == 1 else "were"
        lines.append(
            f"{counted(len(rejections), 'document')} {was} rejected"
            + (f"; all reasons are in {rejects_file}" if rejects_file else "")
        )
    return lines


def generation_record(manifest: Manifest) -> dict[str, Any]:
    """One generation, as plain data."""
    return {
        "generation": manifest.generation,
        "created_at": manifest.created_at,
        "documents": manifest.documents,
        "chunks": manifest.chunks,
        "segments": len(manifest.segments),
        "note": manifest.note,
        "measures": dict(manifest.statistics.measures),
    }


def generations_table(console: Console, known: Sequence[Manifest], live: int) -> None:
    """Generations, newest first; `live` is the number of the live one."""
    table = Table("generation", "published (UTC)", "documents", "chunks", "segments", "measures", "note")
    for manifest in known:
        is_live = manifest.generation == live
        number = f"[bold]{manifest.generation} (live)[/]" if is_live else str(manifest.generation)
        table.add_row(
            number,
            manifest.created_at,
            f"{manifest.documents:,}",
            f"{manifest.chunks:,}",
            str(len(manifest.segments)),
            "\n".join(f"{name} {value:.4f}" for name, value in manifest.statistics.measures.items()),
            escape(printable(manifest.note)),
        )
    console.print(table)


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
