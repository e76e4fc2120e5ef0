"""What both formats become: paragraphs, headings, tables and notes, as Markdown of bounded size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.ingest.formats.fields import oversize
from pipeline.ingest.formats.markup import escaped, heading, table_as_markdown

DEEPEST = 40
"""Paragraphs in cells in paragraphs … are read so deep; more is no document."""
MOST_HEADING = 120
MOST_ROWS, MOST_COLUMNS = 100_000, 2_000
MOST_CELLS = 2_000_000

_OUTLINE = re.compile(r"(?:개요|outline|제목|heading)\s*(\d{0,2})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: where its upper left corner is, how many rows and columns it takes, its text."""

    row: int
    column: int
    rows: int
    columns: int
    text: str


class Paper:
    """Markdown, part by part. Raises `UnreadableError` as soon as it grows beyond `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._length = 0
        self._notes = 0

    def paragraph(self, text: str, level: int = 0) -> None:
        """Add a paragraph, or a heading of a level from 1; nothing if there is no text."""
        text = "\n".join(" ".join(line.split()) for line in text.splitlines()).strip()
        if not text:
            return
        if level and len(text) <= MOST_HEADING and not text.endswith(("다.", ". ")):
            self._add(heading(level, text))
        else:
            self._add(escaped(text))

    def table(self, cells: Sequence[Cell]) -> None:
        """Add a table; a cell over several rows is repeated in each. One row or column is a frame around text."""
        width = max((min(cell.column + max(cell.columns, 1), MOST_COLUMNS) for cell in cells), default=0)
        height = max((min(cell.row + max(cell.rows, 1), MOST_ROWS) for cell in cells), default=0)
        if width <= 1 or height <= 1 or width * height > MOST_CELLS:
            for cell in cells:
                self.paragraph(cell.text)
            return
        rows = [[""] * width for _ in range(height)]
        for cell in cells:
            if cell.column < width:
                for row in range(cell.row, min(cell.row + max(cell.rows, 1), height)):
                    rows[row][cell.column] = cell.text
        if kept := [row for row in rows if any(row)]:
            self._add(table_as_markdown(kept))

    def note_mark(self) -> str:
        """The mark of the next note, for the text that it is about."""
        self._notes += 1
        return f"[{self._notes}]"

    def note(self, mark: str, text: str) -> None:
        """Add the text of a note."""
        self.paragraph(f"{mark} {' '.join(text.split())}")

    def written(self) -> str:
        """All of it."""
        return "\n\n".join(self._parts) + "\n" if self._parts else ""

    def _add(self, part: str) -> None:
        self._parts.append(part)
        self._length += len(part.encode("utf-8", "replace")) + 2
        if self._length > self._limit:
            raise oversize(self._limit)


def outline_level(*names: str) -> int:
    """The level of a heading whose style has one of these names; 0 if none of them is a heading's."""
    for name in names:
        if match := _OUTLINE.fullmatch(name.strip()):
            return max(1, int(match[1] or 1))
    return 0
