"""What a report says of known items: how passages are found by their own words, now and in builds before."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pipeline.job.comparison.collapse import KEPT, Compared
from pipeline.job.report import plots
from pipeline.job.report.record import BuildRecord


def section(comparisons: Sequence[Compared], records: Sequence[BuildRecord]) -> str:
    """The section of the page, empty where nothing was asked for. `records`: the last generations, this one too."""
    if not comparisons:
        return ""
    rows = "".join(
        f"<tr><td{' class=bad' if one.collapsed else ''}>{escape(one.name)}</td><td class=n>{one.queries:,}</td>"
        f"<td class=n>{one.now:.3f}</td><td class=n>{before(one)}</td></tr>"
        for one in comparisons
    )
    head = "".join(
        f"<th{' class=n' if i else ''}>{name}</th>"
        for i, name in enumerate(("found by their own words", "queries", "this build", "before"))
    )
    return (
        "<h2>Passages find themselves</h2>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{_history(records)}"
    )


def before(one: Compared) -> str:
    """What the live generation had, a dash if there was none."""
    return "–" if one.before is None else f"{one.before:.3f}"


def _history(records: Sequence[BuildRecord]) -> str:
    """A line for each leg and script over the generations."""
    told = [record for record in records if record.known_items]
    if len(told) < 2:
        return ""
    shares = [{one.name: one.now for one in record.known_items if one.what == KEPT} for record in told]
    names = list(dict.fromkeys(name for by_name in shares for name in by_name))[: plots.COLOURS]
    series = [(name.replace(f", {KEPT} passages", ""), [share.get(name) for share in shares]) for name in names]
    labels = [str(record.generation) for record in told]
    return plots.lines("Passages found by their own words, by generation", labels, series, ".3f")
