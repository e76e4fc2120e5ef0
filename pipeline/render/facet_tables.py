"""Facet counts on the command line: a table a field for people, records for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.records import Facet
from pipeline.wording import counted, printable


def facet_records(facets: Sequence[Facet]) -> dict[str, Any]:
    """Facets by field, as JSON has them."""
    records = {}
    for facet in facets:
        record = dataclasses.asdict(facet)
        records[record.pop("field")] = record
    return records


def facet_tables(console: Console, facets: Sequence[Facet]) -> None:
    """A table for each field, and a line about what it leaves out."""
    for facet in facets:
        table = Table(title=f"[bold]{escape(printable(facet.field))}[/]", title_justify="left")
        table.add_column("value", overflow="fold")
        table.add_column("chunks", justify="right")
        table.add_column("documents", justify="right")
        for one in facet.values:
            table.add_row(_value(one.value), f"{one.chunks:,}", f"{one.documents:,}")
        console.print(table)
        notes = []
        if len(facet.values) < facet.distinct:
            notes.append(f"{len(facet.values):,} of {counted(facet.distinct, 'value')}; more by --facet-limit")
        if facet.missing:
            notes.append(f"{counted(facet.missing, 'chunk')} without")
        if notes:
            console.print(f"[dim]{'; '.join(notes)}[/]", highlight=False)


def _value(value: object) -> str:
    """A value on one line; one that is blank in quotes."""
    text = str(value).lower() if isinstance(value, bool) else printable(str(value))
    return escape(text if text.strip() else repr(text))
