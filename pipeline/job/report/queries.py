"""What a report says of the queries that were logged."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from pipeline.query.log.reader import QueryLogSummary


def section(found: QueryLogSummary | None) -> str:
    """The section of the page, empty where no queries are logged."""
    if found is None:
        return ""
    torn = f", {found.torn:,} lines could not be read" if found.torn else ""
    slow = ((text, f"{milliseconds:,.1f} ms") for text, milliseconds in found.slowest)
    empty = ((text, f"{count:,}") for text, count in found.without_hits)
    return (
        f"<h2>What people asked</h2><p>{found.asked:,} queries, {found.distinct:,} different ones{torn}.</p>"
        f"{_table('the slowest', 'took', slow)}{_table('found nothing', 'times', empty)}"
    )


def _table(head: str, unit: str, rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{escape(text)}</td><td class=n>{value}</td></tr>" for text, value in rows)
    if not body:
        return ""
    return f"<table><thead><tr><th>{head}</th><th class=n>{unit}</th></tr></thead><tbody>{body}</tbody></table>"
