"""Tables of a Markdown text that are larger than a chunk: cut between rows, and told their header in every chunk.

A chunk stays a stretch of the document's text. What a stretch from the middle of a table lacks goes into its
context: the header; where a row had to be cut, the header from that column on, and the row's first cell, its key. A
table whose header takes too much of a chunk is wide: its columns make groups, and each row is cut between them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from pipeline.ingest.cutting.boundaries import Fits, sentence_ends, settle
from pipeline.ingest.cutting.markdown import TableLines

ROW = 0.2
CELL = 0.15
SENTENCE = 0.05
STOP = 0.45
AFTER_HEADER = -0.5
"""Worth of cuts: before a row; before a cell and behind a sentence of a row that is too long, and around it; behind
a header. None parts a key from the cell after it."""

KEY_SHARE = 4
"""The key of a row that is cut takes at most the `KEY_SHARE`-th part of what a header may take."""

_LINE_END = re.compile(r"\r\n?|\n")
_MARKERS = re.compile(r"(?:[^\S\r\n]|>|[-*+] |\d{1,9}[.)] )*")
_PIPE = re.compile(r"(?<!\\)\|")

Sizes = Callable[[Sequence[str]], list[int]]
"""How many tokens each of some texts takes."""


@dataclass(frozen=True, slots=True)
class TableContext:
    """What is said before a stretch of a table: the header over it, and the key of the row that it is cut out of.

    `key` is empty unless the stretch begins inside a row.
    """

    header: str = ""
    key: str = ""


OUTSIDE = TableContext()


class Tables:
    """The tables of one text."""

    def __init__(self, text: str, tables: Sequence[TableLines], sizes: Sizes, most: int) -> None:
        """`most`: how many tokens of a chunk a header may take."""
        self._text = text
        self._tables = [table for table in tables if len(table.rows) > 1]
        self._bodies = [table.rows[1] for table in self._tables]
        self._sizes, self._most = sizes, most
        self._cells = lru_cache(maxsize=64)(self._cells_of)
        self._header = cache(self._header_of)
        self._groups = cache(self._groups_of)

    def at(self, start: int) -> TableContext:
        """What to say before a stretch that begins at `start`; nothing outside of tables and in their headers."""
        found = self._found(start)
        if found is None:
            return OUTSIDE
        number, row = found
        header = self._header(number)
        cells = self._cells(row)
        column = max(0, bisect_right(cells, start) - 1)
        groups = self._groups(number)
        last = next((group for group in groups if group > column), len(header))
        if column == 0:
            return TableContext(_row(header[:last]))
        end = cells[1] if len(cells) > 1 else self._line_end(row)
        return TableContext(_row([*header[:1], *header[column:last]]), _row([_cell(self._text[row:end])]))

    def holds(self, start: int) -> bool:
        """Whether `start` is in a table, behind its header."""
        return self._found(start) is not None

    def overlay(self, worth: dict[int, float], fits: Fits) -> list[int]:
        """Put cuts into those tables that do not fit, and return those cuts that no chunk may go beyond."""
        stops: list[int] = []
        for number, table in enumerate(self._tables):
            if fits(table.start, table.end):
                continue
            for place in (settle(self._text, row) for row in table.rows[1:]):
                worth[place] = ROW
            for line in _LINE_END.finditer(self._text, table.start, table.rows[1]):
                place = settle(self._text, line.start())
                if place in worth:
                    worth[place] = AFTER_HEADER
            ends = [*table.rows[1:], table.end]
            for row, following in zip(table.rows[1:], ends[1:], strict=True):
                stops += self._row_cuts(number, row, following, worth, fits)
        return stops

    def _row_cuts(self, number: int, row: int, following: int, worth: dict[int, float], fits: Fits) -> list[int]:
        """The cuts around and in a row that is one of a wide table or too long: none for another."""
        cells, groups = self._cells(row), self._groups(number)
        edges = [row, *(cells[group] for group in groups if 0 < group < len(cells)), following]
        if len(edges) == 2 and fits(row, following):
            return []
        stops = [settle(self._text, edge) for edge in edges]
        for low, high in pairwise(edges):
            if not fits(low, high):
                ends = (low + end for end, _ in sentence_ends(self._text[low:high]))
                worth |= {place: SENTENCE for end in ends if low < (place := settle(self._text, end)) < high}
                worth |= {settle(self._text, cell): CELL for cell in cells[2:] if low < cell < high}
        worth |= dict.fromkeys(stops, STOP)
        return stops

    def _found(self, start: int) -> tuple[int, int] | None:
        """The table that `start` is in, behind its header, and where the line of its row begins."""
        number = bisect_right(self._bodies, start) - 1
        if number < 0 or start >= self._tables[number].end:
            return None
        rows = self._tables[number].rows
        return number, rows[bisect_right(rows, start) - 1]

    def _header_of(self, number: int) -> list[str]:
        row = self._tables[number].rows[0]
        cells, end = self._cells(row), self._line_end(row)
        return [_cell(self._text[low:high]) for low, high in zip(cells, [*cells[1:], end], strict=True)]

    def _groups_of(self, number: int) -> list[int]:
        """The columns at which a group begins, which the first column is repeated for."""
        key, *sizes = (1 + size for size in self._sizes(self._header(number)))
        most = self._most - self._most // KEY_SHARE
        if key + sum(sizes) < self._most:
            return [0]
        groups, taken = [0], 1 + key
        for column, size in enumerate(sizes, 1):
            if taken + size > most and column > 1:
                groups.append(column)
                taken = 1 + key
            taken += size
        return groups

    def _cells_of(self, row: int) -> list[int]:
        """Where each cell of a row begins: with the pipe before it, if there is one."""
        end = self._line_end(row)
        markers = _MARKERS.match(self._text, row, end)
        first = markers.end() if markers else row
        pipes = [match.start() for match in _PIPE.finditer(self._text, first, end)]
        if pipes and not self._text[pipes[-1] + 1 : end].strip():
            pipes.pop()
        return pipes if pipes and pipes[0] == first else [first, *pipes]

    def _line_end(self, row: int) -> int:
        match = _LINE_END.search(self._text, row)
        return match.start() if match else len(self._text)


def _cell(text: str) -> str:
    """A cell's text, without the pipes around it."""
    text = text.strip()
    if text.startswith("|"):
        text = text[1:]
    return (text[:-1] if text.endswith("|") and not text.endswith("\\|") else text).strip()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |" if any(cells) else ""
