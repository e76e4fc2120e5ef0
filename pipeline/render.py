"""What the command line prints: tables for people, JSON for machines. No click, no reading of files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.evaluate.gate import recorded_measures
from pipeline.index.manifest import Manifest
from pipeline.query.searcher import Index
from pipeline.query.snippet import snippet
from pipeline.records import Hit, LegScore, Rejection
from pipeline.wording import counted, printable

if TYPE_CHECKING:
    from pipeline.commit import BuildReport
    from pipeline.index.manifest import LexicalRecall
    from pipeline.index.staging import StagedIngest
    from pipeline.plan import BuildPlan

_CONTEXT_CHARACTERS = 240
"""A table shows this much of the text before and after a hit."""


def hits_as_json(query: str, query_id: str | None, index: Index, mode: str, hits: Sequence[Hit]) -> str:
    """One query's hits as one line of JSON."""
    record: dict[str, Any] = {"query": query, "mode": mode, "generation": index.manifest.generation}
    if query_id is not None:
        record["query_id"] = query_id
    record["hits"] = [_hit_record(hit) for hit in hits]
    return json.dumps(record, ensure_ascii=False)


def _hit_record(hit: Hit) -> dict[str, Any]:
    skipped = {"legs", "matches"} | ({"before", "after"} if hit.before is None else set())
    record = {
        field.name: getattr(hit, field.name) for field in dataclasses.fields(hit) if field.name not in skipped
    }
    record["metadata"] = dict(hit.metadata)
    for leg in dict.fromkeys(("dense", "lexical", *hit.legs)):
        score = hit.legs.get(leg)
        values = {} if score is None else dataclasses.asdict(score)
        record[leg] = {name: value for name, value in values.items() if value is not None or name == "rank"} or None
    if hit.matches:
        record["matches"] = [dataclasses.asdict(match) for match in hit.matches]
    return record


def hits_table(console: Console, query: str, index: Index, hits: Sequence[Hit], show: Sequence[str]) -> None:
    """One query's hits as a table that fits the terminal."""
    if not hits:
        console.print("no hits: none of the query's words is in the index, or the filter leaves nothing")
        return
    tokens = index.encoder.describe_tokens(query)
    legs = list(hits[0].legs)
    table = Table(title=f"[bold]{escape(printable(query))}[/]", title_justify="left", show_lines=True, expand=True)
    table.add_column("#", justify="right", style="bold")
    table.add_column("score", justify="right", no_wrap=True)
    for leg in legs:
        table.add_column(leg, justify="right", no_wrap=True)
    for name in show:
        table.add_column(escape(printable(name)), overflow="fold", max_width=24)
    table.add_column("passage", ratio=1, overflow="fold")
    for hit in hits:
        table.add_row(
            str(hit.rank),
            f"{hit.score:.4f}",
            *(_leg_cell(hit.legs.get(leg)) for leg in legs),
            *(_plain(hit.metadata.get(name)) for name in show),
            _passage(hit, index, tokens),
        )
    console.print(table)


def _leg_cell(score: LegScore | None) -> str:
    if score is None:
        return "–"
    return f"{score.score:.3f}\n[dim]{'#' + str(score.rank) if score.rank else 'beyond'}[/]"


def _plain(value: object) -> str:
    if value is None:
        return "–"
    return escape(printable(", ".join(map(str, value)) if isinstance(value, list) else str(value)))


def _passage(hit: Hit, index: Index, tokens: Mapping[int, str]) -> Text:
    text = Text(printable(hit.doc_id), style="cyan")
    if hit.headings:
        text.append(printable(" › " + " › ".join(hit.headings)), style="dim")
    text.append("\n")
    part = snippet(printable(hit.text), tokens, index.encoder.describe_tokens)
    body = Text(("…" if part.cut_before else "") + part.text + ("…" if part.cut_after else ""), style="default")
    shift = 1 if part.cut_before else 0
    if hit.before:
        text.append(f"{_end(hit.before)} ↓\n", style="dim")
    for start, end in part.marks:
        body.stylize("bold yellow", start + shift, end + shift)
    text.append_text(body)
    if hit.after:
        text.append(f"\n↑ {_start(hit.after)}", style="dim")
    for line in _explanation(hit):
        text.append(f"\n{printable(line)}", style="green")
    return text


def _start(text: str) -> str:
    folded = " ".join(printable(text).split())
    return folded if len(folded) <= _CONTEXT_CHARACTERS else folded[:_CONTEXT_CHARACTERS] + "…"


def _end(text: str) -> str:
    folded = " ".join(printable(text).split())
    return folded if len(folded) <= _CONTEXT_CHARACTERS else "…" + folded[-_CONTEXT_CHARACTERS:]


def _explanation(hit: Hit) -> list[str]:
    lines = [
        f"{name}: {leg.normalized:.4f} (of {leg.score:.4f}) · weight {leg.weight:.3f} = {leg.contribution:.4f}"
        for name, leg in hit.legs.items()
        if leg.contribution is not None
    ]
    words = [f"{m.token} {m.query_weight:.2f} · {m.passage_weight:.2f}" for m in hit.matches]
    return [*lines, f"tokens: {', '.join(words)}"] if words else lines


def report_line(report: BuildReport) -> str:
    """What a build did, for a log."""
    changes = _changes(report)
    if not report.published:
        return f"nothing to do: generation {report.generation} is up to date ({changes})"
    return (
        f"published generation {report.generation}: {counted(report.documents, 'document')}, "
        f"{counted(report.chunks, 'chunk')} ({changes}; {counted(report.encoded_chunks, 'chunk')} encoded, "
        f"{report.reused_chunks:,} reused, "
        f"in {report.seconds:.1f} s)"
    )


def _changes(counts: BuildReport | BuildPlan | StagedIngest) -> str:
    return (
        f"{counts.added:,} added, {counts.changed:,} changed, {len(counts.moved):,} moved, "
        f"{counts.deleted:,} deleted, {counts.unchanged:,} unchanged"
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
    return (
        f"staged {counted(staged.chunks, 'chunk')} of {counted(staged.read, 'document')} ({_changes(staged)}); "
        "`pipeline encode` publishes them"
    )


def plan_lines(plan: BuildPlan) -> list[str]:
    """What a build would do, what it would add to the disk, and how long it would take."""
    lines = [
        f"would encode {counted(plan.chunks, 'chunk')}, about {counted(plan.tokens, 'token')}, "
        f"and reuse {plan.reused_chunks:,} ({_changes(plan)})",
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
    return lines + moved_lines(plan.moved)


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
        "measures": dict(recorded_measures(manifest)),
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
            "\n".join(f"{name} {value:.4f}" for name, value in recorded_measures(manifest).items()),
            escape(printable(manifest.note)),
        )
    console.print(table)


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
