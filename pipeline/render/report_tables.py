"""A build's record on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.ingest.workers.tally import ReadingLoss
from pipeline.job.cluster.workers import Trouble
from pipeline.job.report.failure import Failure
from pipeline.job.report.known_items import before
from pipeline.job.report.record import BuildRecord
from pipeline.job.stopwatch import StageTime
from pipeline.query.log.reader import QueryLogSummary
from pipeline.render.build_lines import recall_lines
from pipeline.wording import counted, printable

_REJECTIONS = 5
_TROUBLES = 5
_QUERIES = 5


def record_tables(console: Console, record: BuildRecord) -> None:
    """What a build did, as text and tables that fit the terminal."""
    console.print(
        f"[bold]generation {record.generation}[/] was {record.status}, {record.created_at}, "
        f"in {record.seconds:,.1f} s" + (f": {escape(printable(record.note))}" if record.note else "")
    )
    for reason in record.refusals:
        console.print(f"  [red]refused:[/] {escape(printable(reason))}")
    console.print(
        f"  {record.added:,} added, {record.changed:,} changed, {record.moved:,} moved, "
        f"{record.deleted:,} deleted, {record.unchanged:,} unchanged, {record.rejected:,} rejected; "
        f"{counted(record.documents, 'document')} and {counted(record.chunks, 'chunk')} in all"
    )
    for line in recall_lines(record.lexical_recall):
        console.print(f"  {line}")
    console.print(_stages(record.stages))
    if record.reading.shares:
        readers = Table("worker that reads", "documents", "chunks", "chunks a second")
        for one in record.reading.shares:
            readers.add_row(
                escape(printable(one.worker)),
                f"{one.documents:,}",
                f"{one.chunks:,}",
                _rate(one.chunks, one.seconds),
            )
        console.print(readers)
    _troubles(console, record.reading.losses, record.reading.loss_count)
    if record.workers:
        shares = Table("worker", "shards", "chunks", "a second")
        for worker in record.workers:
            rate = _rate(worker.chunks, worker.seconds)
            shares.add_row(escape(printable(worker.worker)), f"{worker.shards:,}", f"{worker.chunks:,}", rate)
        console.print(shares)
    _troubles(console, record.troubles, record.trouble_count)
    if record.measures:
        live = record.live_measures or {}
        quality = Table("measure", "this build", "before")
        for name, value in record.measures.items():
            quality.add_row(name, f"{value:.4f}", f"{live[name]:.4f}" if name in live else "–")
        console.print(quality)
    if record.known_items:
        known = Table("passages find themselves", "queries", "this build", "before")
        for item in record.known_items:
            style = "red" if item.collapsed else None
            known.add_row(item.name, f"{item.queries:,}", f"{item.now:.3f}", before(item), style=style)
        console.print(known)
    if record.queries is not None:
        _asked(console, record.queries)
    for rejection in record.rejections[:_REJECTIONS]:
        console.print(f"  rejected {escape(printable(f'{rejection.source}: {rejection.reason}'))}")
    if record.rejected > _REJECTIONS:
        console.print(f"  … and {record.rejected - _REJECTIONS:,} more")


def _rate(done: int, seconds: float) -> str:
    return f"{done / seconds:,.1f}" if seconds > 0 else "–"


def _troubles(console: Console, troubles: Sequence[Trouble | ReadingLoss], count: int) -> None:
    for trouble in troubles[:_TROUBLES]:
        console.print(f"  [red]in trouble:[/] {escape(printable(str(trouble)))}")
    if count > _TROUBLES:
        console.print(f"  … and {count - _TROUBLES:,} more")


def failure_tables(console: Console, failure: Failure) -> None:
    """When and why the last build failed, and what it had done until then."""
    console.print(f"the last build [red]failed[/], {failure.failed_at}, after {failure.seconds:,.1f} s:")
    console.print(f"  {escape(printable(failure.reason))}")
    if failure.stages:
        console.print(_stages(failure.stages))
    console.print("nothing was published; `pipeline report N` tells of generation N")


def _asked(console: Console, found: QueryLogSummary) -> None:
    torn = f"; {counted(found.torn, 'line')} left out" if found.torn else ""
    console.print(f"asked: {counted(found.asked, 'query')}, {found.distinct:,} different{torn}")
    slowest = Table("the slowest", "took")
    for text, milliseconds in found.slowest[:_QUERIES]:
        slowest.add_row(escape(printable(text)), f"{milliseconds:,.1f} ms")
    empty = Table("found nothing", "times")
    for text, count in found.without_hits[:_QUERIES]:
        empty.add_row(escape(printable(text)), f"{count:,}")
    for table in (slowest, empty):
        if table.rows:
            console.print(table)


def _stages(stages: Sequence[StageTime]) -> Table:
    table = Table("stage", "done", "seconds", "a second", "peak memory")
    for stage in stages:
        table.add_row(
            stage.name,
            counted(stage.units, stage.unit),
            f"{stage.seconds:,.2f}",
            f"{stage.units / stage.seconds:,.1f}" if stage.units and stage.seconds > 0 else "–",
            f"{stage.peak_bytes / 1e6:,.0f} MB",
        )
    return table
