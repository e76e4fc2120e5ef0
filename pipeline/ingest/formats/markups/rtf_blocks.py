"""The text of an RTF file, with signs for headings, cells and rows in it → Markdown."""

from __future__ import annotations

import re

from pipeline.ingest.formats.markup import escaped, heading, table_as_markdown

HEADING = "\x1c{}"
"""In a paragraph that is a heading: its level, from 1 to 6."""
TABLE, CELL, ROW = "\x1d", "\x1e", "\x1f"
"""Before a row, behind each of its cells, and behind it."""
_LEVEL = re.compile(r"\x1c(\d)")


def blocks(text: str) -> str:
    """The Markdown of a text."""
    found: list[str] = []
    rows: list[list[str]] = []
    *ended, rest = text.split(ROW)
    for part in ended:
        before, row = _before_row(part)
        if _LEVEL.sub("", before).strip():
            found += [*_table(rows), *_paragraphs(before)]
            rows = []
        rows.append([" ".join(_LEVEL.sub("", cell).split()) for cell in row.replace(TABLE, "").split(CELL)[:-1]])
    found += [*_table(rows), *_paragraphs(rest)]
    return "\n\n".join(found)


def _before_row(part: str) -> tuple[str, str]:
    """What stands before a row, and the row: from its sign on, else from the paragraph of its first cell on."""
    start = part.find(TABLE)
    if start < 0:
        start = part.rfind("\n\n", 0, max(0, part.find(CELL)))
    start = max(0, start)
    return part[:start], part[start:]


def _table(rows: list[list[str]]) -> list[str]:
    """A table; one of a single row or column is a layout: its cells in order."""
    rows = [row for row in rows if any(row)]
    if len(rows) > 1 and max(map(len, rows)) > 1:
        return [table_as_markdown(rows)]
    return [escaped(cell) for row in rows for cell in row if cell]


def _paragraphs(text: str) -> list[str]:
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        level = _LEVEL.search(paragraph)
        shown = re.sub(r"[ \t]+\n", "\n", _LEVEL.sub("", paragraph)).strip().translate(_NO_SIGNS)
        if level and shown:
            found.append(heading(int(level[1]), shown))
        elif shown.startswith("- ") and found and found[-1].rpartition("\n")[2].startswith("- "):
            found[-1] += f"\n{escaped(shown)}"
        elif shown:
            found.append(escaped(shown))
    return found


_NO_SIGNS = dict.fromkeys(map(ord, (TABLE, CELL, ROW)), " ")
