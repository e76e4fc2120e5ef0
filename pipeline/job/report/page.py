"""The page of a build: one HTML file that asks nothing of the network and runs no script."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from html import escape
from pathlib import Path

from pipeline.job.report import differences, known_items, plots, queries
from pipeline.job.report.record import BuildRecord, history, page_path, save
from pipeline.job.stopwatch import StageTime

log = logging.getLogger(__name__)

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5c6370; --rule: #d9dce1; --paper: #ffffff;
  --c0: #2a6fbb; --c1: #c8551b; --c2: #2e8b57; --c3: #8e44ad; --c4: #b8860b; --c5: #0e8a93; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3af; --rule: #3a3f47; --paper: #16181c;
  --c0: #6ea8e6; --c1: #f0905a; --c2: #6cc493; --c3: #c58be0; --c4: #dcb545; --c5: #56c3cb; --bad: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 46rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.lead, td.why, .label { color: var(--soft); } .bad { color: var(--bad); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .75rem .25rem 0;
  border-bottom: 1px solid var(--rule); vertical-align: top; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg text.label { fill: var(--soft); } .axis { stroke: var(--rule); }
.line { fill: none !important; stroke-width: 2; }
.s0 { fill: var(--c0); stroke: var(--c0); } .s1 { fill: var(--c1); stroke: var(--c1); }
.s2 { fill: var(--c2); stroke: var(--c2); } .s3 { fill: var(--c3); stroke: var(--c3); }
.s4 { fill: var(--c4); stroke: var(--c4); } .s5 { fill: var(--c5); stroke: var(--c5); }
svg text.name { stroke: none; }
"""


def write(index: Path, record: BuildRecord) -> Path | None:
    """Write the record of a build and its page, with plots over the generations before. Returns the page's path.

    A disk that is full now must not make a failure of a build that went live: then it is a warning, and `None`.
    """
    try:
        return save(index, record, page(record, history(index, record.generation)))
    except OSError as error:
        log.warning("no report of generation %d: %s", record.generation, error)
        return None


def ensure_page(index: Path, record: BuildRecord) -> Path:
    """The path of a record's page, written now if a build was killed before it could."""
    path = page_path(index, record.generation)
    return path if path.exists() else save(index, record, page(record, history(index, record.generation)))


def page(record: BuildRecord, earlier: Sequence[BuildRecord] = ()) -> str:
    """The whole page. `earlier`: records of generations before it, oldest first, for the plots."""
    return _document(f"Build {record.generation}", [sections(record, earlier)])


def sections(record: BuildRecord, earlier: Sequence[BuildRecord] = ()) -> str:
    """What stands on the page, as HTML, for whoever has a page around it."""
    parts = [
        f"<h1>Generation {record.generation} {_status(record)}</h1>",
        f'<p class="lead">{escape(record.created_at)} · took {_seconds(record.seconds)}'
        + (f" · {escape(record.note)}" if record.note else "")
        + "</p>",
        _refusals(record),
        "<h2>What changed</h2>",
        _changes(record),
        "<h2>Time</h2>",
        _stages(record.stages),
        _workers(record),
        _quality(record),
        known_items.section(record.known_items, [*earlier, record]),
        differences.section(record.difference),
        queries.section(record.queries),
        _lengths(record),
        _rejections(record),
        _history([*earlier, record]),
    ]
    return "\n".join(part for part in parts if part)


def failure_page(failed_at: str, seconds: float, reason: str, stages: Sequence[StageTime]) -> str:
    """The page of a build that ended in an error."""
    return _document(
        "Failed build",
        [
            '<h1>The build <span class="bad">failed</span></h1>',
            f'<p class="lead">{escape(failed_at)} · after {_seconds(seconds)} · nothing was published</p>',
            f'<p class="bad">{escape(reason)}</p>',
            "<h2>Time</h2>" + _stages(stages) if stages else "",
        ],
    )


def _document(title: str, parts: Sequence[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _status(record: BuildRecord) -> str:
    return "was published" if record.status == "published" else '<span class="bad">was refused</span>'


def _refusals(record: BuildRecord) -> str:
    if not record.refusals:
        return ""
    what = "Published by force although:" if record.status == "published" else "The quality gate refused it:"
    return (
        f'<p class="bad">{what}</p><ul>{"".join(f"<li>{escape(reason)}</li>" for reason in record.refusals)}</ul>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: int) -> str:
    """A table of escaped cells; the last `numeric` columns are numbers."""
    first = len(head) - numeric

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{(kind := tag if value else 'td')}{' class=n' if i >= first else ''}>{escape(value)}</{kind}>"
            for i, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"


def _changes(record: BuildRecord) -> str:
    rows = [
        ("documents added", f"{record.added:,}"),
        ("documents changed", f"{record.changed:,}"),
        ("documents moved", f"{record.moved:,}"),
        ("documents deleted", f"{record.deleted:,}"),
        ("documents unchanged", f"{record.unchanged:,}"),
        ("documents rejected", f"{record.rejected:,}"),
        ("old versions kept for want of a readable one", f"{record.held:,}"),
        ("new chunks", f"{record.new_chunks:,}"),
        ("chunks encoded in this run", f"{record.encoded:,}"),
        ("documents in the generation", f"{record.documents:,}"),
        ("chunks in the generation", f"{record.chunks:,}"),
        ("segments", f"{record.segments:,}"),
        ("size on disk", f"{record.bytes / 1e6:,.1f} MB"),
        ("peak memory", f"{record.peak_bytes / 1e6:,.0f} MB"),
    ]
    if (recall := record.lexical_recall) is not None:
        rows.append(("of the exact lexical leg's ten best, the approximate one finds", f"{recall.mean:.3f}"))
    return _table(("full build" if record.full else "compared with the live generation", ""), rows, 1)


def _stages(stages: Sequence[StageTime]) -> str:
    plot = plots.bars("Seconds of each stage", [(s.name, s.seconds, _seconds(s.seconds)) for s in stages])
    rows = [
        (
            stage.name,
            f"{stage.units:,} {stage.unit}",
            f"{stage.units / stage.seconds:,.1f}" if stage.units and stage.seconds > 0 else "–",
            f"{stage.peak_bytes / 1e6:,.0f} MB",
        )
        for stage in stages
    ]
    return plot + _table(("stage", "done", "a second", "peak memory"), rows, 3)


def _workers(record: BuildRecord) -> str:
    reading = record.reading
    parts = [
        _shares(
            "Workers that read",
            ("worker", "documents", "chunks", "chunks a second"),
            [(one.worker, one.documents, one.chunks, one.seconds) for one in reading.shares],
            "first file",
            [(one.worker, one.file, one.reason) for one in reading.losses],
            reading.loss_count,
        ),
        _shares(
            "Workers",
            ("worker", "shards", "chunks", "chunks a second"),
            [(one.worker, one.shards, one.chunks, one.seconds) for one in record.workers],
            "shard",
            [(one.worker, one.shard, one.reason) for one in record.troubles],
            record.trouble_count,
        ),
    ]
    return "".join(parts)


def _shares(
    title: str,
    head: tuple[str, ...],
    shares: list[tuple[str, int, int, float]],
    unit: str,
    troubles: list[tuple[str, str, str]],
    count: int,
) -> str:
    """What workers did (name, units, chunks, seconds), and the first of `count` troubles (name, unit, reason)."""
    if not shares and not troubles:
        return ""
    rows = [
        (name, f"{units:,}", f"{chunks:,}", f"{chunks / seconds:,.1f}" if seconds > 0 else "–")
        for name, units, chunks, seconds in shares
    ]
    tables = [_table(head, rows, 3)] if rows else []
    tables += [_table(("worker in trouble", unit, "what went wrong"), troubles, 0)] if troubles else []
    more = count - len(troubles)
    return f"<h2>{title}</h2>{''.join(tables)}" + (f"<p>and {more:,} more, in the log.</p>" if more > 0 else "")


def _quality(record: BuildRecord) -> str:
    if not record.measures:
        return ""
    live = record.live_measures or {}
    rows = [
        (
            name,
            f"{value:.4f}",
            f"{live[name]:.4f}" if name in live else "–",
            f"{value - live[name]:+.4f}" if name in live else "–",
        )
        for name, value in record.measures.items()
    ]
    return "<h2>Quality</h2>" + _table(("measure", "this build", "before", "change"), rows, 3)


def _lengths(record: BuildRecord) -> str:
    lengths = record.lengths
    if lengths is None:
        return ""
    plot = plots.histogram("Lengths of new chunks", lengths.edges, lengths.counts, "characters")
    return (
        f"<h2>New chunks</h2>{plot}<p>Characters: mean {lengths.mean:,.0f}, median {lengths.median:,.0f}, "
        f"longest {lengths.longest:,}.</p>"
    )


def _rejections(record: BuildRecord) -> str:
    if not record.rejected:
        return ""
    rows = [(one.source, one.reason) for one in record.rejections]
    more = record.rejected - len(rows)
    listed = _table(("source", "reason"), rows, 0) if rows else ""
    tail = f"<p>and {more:,} more; rejects/{record.generation:08d}.jsonl lists all.</p>" if more > 0 else ""
    return f"<h2>Rejected documents</h2>{listed}{tail}"


def _history(records: Sequence[BuildRecord]) -> str:
    if len(records) < 2:
        return ""
    labels = [str(record.generation) for record in records]
    names = list(dict.fromkeys(name for record in records for name in record.measures))
    quality: list[tuple[str, list[float | None]]] = [(n, [r.measures.get(n) for r in records]) for n in names]
    size: list[tuple[str, list[float | None]]] = [
        ("documents", [float(record.documents) for record in records]),
        ("chunks", [float(record.chunks) for record in records]),
    ]
    time: list[tuple[str, list[float | None]]] = [("seconds", [record.seconds for record in records])]
    found = plots.lines("Measures by generation", labels, quality, ".3f")
    return (
        "<h2>The last generations</h2>"
        + (f"<h3>Measures</h3>{found}" if found else "")
        + f"<h3>Size</h3>{plots.lines('Size by generation', labels, size, ',.0f')}"
        + f"<h3>Time</h3>{plots.lines('Seconds by generation', labels, time, ',.1f')}"
    )


def _seconds(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{seconds:.1f} s"
