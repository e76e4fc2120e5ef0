"""The difference of two generations on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.evaluate.difference import Difference
from pipeline.wording import counted, printable

_QUERIES = 20


def difference_tables(console: Console, found: Difference) -> None:
    """What changed, as text and tables that fit the terminal."""
    console.print(f"[bold]from generation {found.before} to {found.after}[/]")
    for noun, counts in (("documents", found.documents), ("chunks", found.chunks)):
        console.print(f"  {noun}: {counts.added:,} added, {counts.deleted:,} deleted, {counts.changed:,} changed")
    for kind, ids in found.changed_documents.items():
        if ids:
            console.print(f"  {kind}: {escape(printable(', '.join(ids)))}")
    if found.calibrated_anew:
        console.print("  the fusion was calibrated anew")
    console.print(
        f"  {len(found.queries):,} of {counted(found.asked, 'query')} found other documents among the first ten"
        + "".join(f"; {cause}: {count:,}" for cause, count in found.causes.items())
    )
    if found.queries:
        table = Table("query", "document", "rank before", "rank now", "why")
        for query in found.queries[:_QUERIES]:
            for i, hit in enumerate(query.hits):
                table.add_row(
                    escape(printable(query.text)) if i == 0 else "",
                    escape(printable(hit.doc_id)),
                    str(hit.before or "–"),
                    str(hit.after or "–"),
                    ", ".join(hit.causes),
                )
        console.print(table)
    if len(found.queries) > _QUERIES:
        console.print(f"  … and {counted(len(found.queries) - _QUERIES, 'query')} more; --json tells all")
