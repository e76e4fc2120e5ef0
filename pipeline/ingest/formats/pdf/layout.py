"""Runs of words → lines in reading order: columns one after the other, and rows from left to right in them.

A gutter is a place that few runs cross. The runs that do cross it (a title, an abstract, the caption of a wide
figure) part the page into bands; in each band the left column is read before the right one. Cells of tables are
short: a band is read in rows unless both sides hold text.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pipeline.ingest.formats.pdf.page import Run

MOST_COLUMNS = 4
LEAST_RUNS = 3
"""A column has this many lines at least in a band, …"""
LEAST_WORDS = 3.0
"""… of so many words, …"""
FULL_SHARE = 0.5
"""… and most fill this share of it."""
MOST_CROSSING = 0.34
"""A gutter is crossed by no more than this share of the lines."""
STEP = 2.0
SAME_LINE = 0.5


@dataclass(slots=True)
class Line:
    """A line of a column. `left` and `right` are the column's edges. `table`: a whole table, as Markdown."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    mono: bool = False
    bold: bool = False
    column: int = 0
    left: float = 0.0
    right: float = 0.0
    table: bool = False


def lines_of(runs: Sequence[Run], tables: Sequence[Line]) -> list[Line]:
    """The lines of a page in reading order, each with the number of its column; `tables` stand where they are."""
    pieces = [_piece(run) for run in runs] + list(tables)
    found: list[Line] = []
    for number, column in enumerate(_columns(pieces, MOST_COLUMNS)):
        rows = _rows(column)
        left, right = min(piece.x0 for piece in column), max(piece.x1 for piece in column)
        for row in rows:
            line = _joined(row)
            line.column, line.left, line.right = number, left, right
            found.append(line)
    return found


def _piece(run: Run) -> Line:
    return Line(run.text, run.x0, run.y0, run.x1, run.y1, run.size, run.mono, run.bold)


def _columns(pieces: Sequence[Line], most: int) -> list[list[Line]]:
    """The pieces column by column, in the order in which they are read."""
    gutter = _gutter(pieces) if most > 1 and len(pieces) >= 2 * LEAST_RUNS else None
    if gutter is None:
        return [list(pieces)] if pieces else []
    crossing = sorted((p for p in pieces if p.x0 < gutter < p.x1), key=lambda piece: piece.y0)
    edges = [piece.y0 for piece in crossing]
    bands: list[list[Line]] = [[] for _ in range(len(crossing) + 1)]
    for piece in pieces:
        if not piece.x0 < gutter < piece.x1:
            bands[bisect_right(edges, (piece.y0 + piece.y1) / 2)].append(piece)
    found: list[list[Line]] = []
    pending: list[Line] = []
    for number, band in enumerate(bands):
        left = [piece for piece in band if piece.x1 <= gutter]
        right = [piece for piece in band if piece.x0 >= gutter]
        if _is_text(left) and _is_text(right):
            if pending:
                found.append(pending)
                pending = []
            found += [*_columns(left, most - 1), *_columns(right, most - 1)]
        else:
            pending += band
        if number < len(crossing):
            pending.append(crossing[number])
    return [*found, pending] if pending else found


def _gutter(pieces: Sequence[Line]) -> float | None:
    """Where the fewest pieces are crossed between two columns of text; `None` if there are no two."""
    left, right = min(piece.x0 for piece in pieces), max(piece.x1 for piece in pieces)
    starts, ends = sorted(p.x0 for p in pieces), sorted(p.x1 for p in pieces)
    best: tuple[int, float] | None = None
    x = left + (right - left) * 0.2
    while x < right - (right - left) * 0.2:
        crossing = bisect_left(starts, x) - bisect_right(ends, x)
        before, after = bisect_right(ends, x), len(starts) - bisect_left(starts, x)
        balanced = min(before, after)
        if crossing <= MOST_CROSSING * len(pieces) and balanced >= LEAST_RUNS:
            key = (crossing, -float(balanced), abs(x - (left + right) / 2))
            if best is None or key < best[0]:  # type: ignore[operator]
                best = (key, x)  # type: ignore[assignment]
        x += STEP
    return None if best is None else best[1]


def _is_text(pieces: Sequence[Line]) -> bool:
    """Whether pieces look like a column of text, and not like the cells of a table."""
    lines = [piece for piece in pieces if not piece.table]
    if len(lines) < LEAST_RUNS:
        return any(piece.table for piece in pieces) and not lines
    width = max(piece.x1 for piece in lines) - min(piece.x0 for piece in lines)
    words = median(1 + piece.text.count(" ") for piece in lines)
    rows = _rows(lines)
    single = sum(len(row) == 1 for row in rows) >= 0.6 * len(rows)
    filled = median(row[-1].x1 - row[0].x0 for row in rows) >= FULL_SHARE * width
    cjk = median(sum(ord(c) > 0x2E80 for c in piece.text) for piece in lines) >= 8
    return single and filled and (words >= LEAST_WORDS or cjk or median(map(len, (p.text for p in lines))) > 20)


def _rows(pieces: Sequence[Line]) -> list[list[Line]]:
    """Pieces that stand beside each other, from the top; those of a row from the left."""
    rows: list[list[Line]] = []
    for piece in sorted(pieces, key=lambda one: ((one.y0 + one.y1) / 2, one.x0)):
        if rows and not piece.table and _beside(rows[-1], piece):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda one: one.x0) for row in rows]


def _beside(row: Sequence[Line], piece: Line) -> bool:
    first = max(row, key=lambda one: one.y1 - one.y0)
    if first.table:
        return False
    shared = min(first.y1, piece.y1) - max(first.y0, piece.y0)
    return shared > SAME_LINE * min(first.y1 - first.y0, piece.y1 - piece.y0)


def _joined(row: Sequence[Line]) -> Line:
    """One line of the pieces of a row; the most of its characters decide how it looks."""
    main = max(row, key=lambda one: len(one.text))
    if len(row) == 1:
        return main
    letters = sum(len(one.text) for one in row)
    mono = sum(len(one.text) for one in row if one.mono) * 2 > letters
    return Line(
        _spaced(row) if mono else " ".join(one.text for one in row),
        min(one.x0 for one in row),
        main.y0,
        max(one.x1 for one in row),
        main.y1,
        main.size,
        mono,
        all(one.bold for one in row),
        table=main.table,
    )


def _spaced(row: Sequence[Line]) -> str:
    """Pieces of code, as far apart as they are drawn."""
    letter = median((one.x1 - one.x0) / len(one.text) for one in row)
    text = row[0].text
    for before, piece in pairwise(row):
        text += " " * max(1, min(40, round((piece.x0 - before.x1) / max(letter, 1.0)))) + piece.text
    return text
