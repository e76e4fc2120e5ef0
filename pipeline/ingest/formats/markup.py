"""Markdown that readers write: tables, headings, and text that must not be taken for markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKUP = re.compile(r"^(\s*)(#{1,6}(?=\s|$)|>|```|~~~|(?:-{3,}|={3,}|\*{3,})\s*$)", re.MULTILINE)


def table_as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its header. Short rows are filled up; an empty table is an empty text."""
    width = max(map(len, rows), default=0)
    if not width:
        return ""
    lines = [_row([*row, *[""] * (width - len(row))]) for row in rows]
    return "\n".join([lines[0], "|" + "-|" * width, *lines[1:]])


def heading(level: int, title: str) -> str:
    """A heading on one line; levels beyond the sixth are the sixth."""
    return f"{'#' * min(max(level, 1), 6)} {' '.join(title.split())}"


def escaped(text: str) -> str:
    """Text whose lines are no headings, quotes, rules or fences."""
    return _MARKUP.sub(r"\1\\\2", text)


def fenced(code: str, language: str = "") -> str:
    """A code block, with a fence that is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
