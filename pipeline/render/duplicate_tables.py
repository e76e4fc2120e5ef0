"""Clusters of near-duplicates on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.evaluate.duplicates import Duplicates
from pipeline.wording import counted, printable

_CLUSTERS = 50


def duplicate_tables(console: Console, found: Duplicates) -> None:
    """The clusters, the largest first."""
    console.print(
        f"{counted(len(found.clusters), 'cluster')} among {counted(found.documents, 'document')} "
        f"({counted(found.passages, 'passage')} compared, {found.similarity:g} of the text or more): "
        f"{found.copies:,} could be left out"
    )
    if not found.clusters:
        return
    table = Table("cluster", "document", "chunks", "most alike", "source")
    for number, cluster in enumerate(found.clusters[:_CLUSTERS], 1):
        for i, copy in enumerate(cluster):
            table.add_row(
                "" if i else str(number),
                escape(printable(copy.doc_id)),
                str(copy.chunks),
                f"{copy.similarity:.2f}",
                escape(printable(copy.source)),
            )
    console.print(table)
    if len(found.clusters) > _CLUSTERS:
        console.print(f"… and {counted(len(found.clusters) - _CLUSTERS, 'cluster')} more; --json tells all")
