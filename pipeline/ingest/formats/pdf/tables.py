"""Tables that lines rule: a grid of lines across and down, or as books have them three or more across alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from statistics import mean

from pipeline.ingest.formats.markup import table_as_markdown
from pipeline.ingest.formats.pdf.layout import Line
from pipeline.ingest.formats.pdf.page import Page, Rule, Run, Word

TOUCH = 3.0
"""Lines that come so near to each other meet."""
MOST_RULES = 4_000
MOST_CELLS = 20_000
LEAST_WIDTH = 60.0
MOST_HEAD = 90.0
"""The first two lines of a table without vertical ones are no farther apart: its header is between them."""
MOST_STACKED = 40
MOST_CELL_WORDS = 12.0
GAP = 0.55
"""Columns without lines between them are as many letters' heights apart in every row."""


def tables_of(page: Page) -> tuple[list[Line], list[Run]]:
    """The tables of a page as Markdown, where they stand, and the runs that are in none."""
    across, down = _merged(page.across), _merged(page.down)
    if not across or len(across) + len(down) > MOST_RULES:
        return [], page.runs
    found: list[Line] = []
    runs = page.runs
    for xs, ys in _grids(across, down):
        inside, others = _parted(runs, (xs[0], ys[0], xs[-1], ys[-1]))
        rows = _cells(inside, xs, ys)
        if rows is not None:
            found.append(_table(rows, xs[0], ys[0], xs[-1], ys[-1], inside))
            runs = others
    free = [rule for rule in across if not any(t.y0 - TOUCH <= rule.at <= t.y1 + TOUCH for t in found)]
    for stack in _stacks(free):
        first = 0
        while first + 2 < len(stack):
            first, table, runs = _stacked(stack, first, runs)
            found += [table] if table is not None else []
    return found, runs


def _stacked(stack: Sequence[Rule], first: int, runs: list[Run]) -> tuple[int, Line | None, list[Run]]:
    """Where the next table may begin, the longest that begins with one line of a stack, and the runs left."""
    if stack[first + 1].at - stack[first].at <= MOST_HEAD:
        for last in range(min(len(stack), first + MOST_STACKED) - 1, first + 1, -1):
            box = (stack[first].low, stack[first].at, stack[first].high, stack[last].at)
            inside, others = _parted(runs, box)
            if (rows := _open_cells(inside)) is not None:
                return last, _table(rows, *box, inside), others
    return first + 1, None, runs


def _table(
    rows: Sequence[Sequence[str]], x0: float, y0: float, x1: float, y1: float, inside: Sequence[Run]
) -> Line:
    return Line(table_as_markdown(rows), x0, y0, x1, y1, mean(run.size for run in inside), table=True)


def _merged(rules: Sequence[Rule]) -> list[Rule]:
    """Lines that continue or cover each other as one."""
    merged: list[Rule] = []
    for rule in sorted(rules, key=lambda one: (round(one.at / TOUCH), one.low)):
        last = merged[-1] if merged else None
        if last and abs(last.at - rule.at) <= TOUCH and rule.low <= last.high + TOUCH:
            merged[-1] = Rule(last.at, last.low, max(last.high, rule.high))
        else:
            merged.append(rule)
    return merged


def _grids(across: Sequence[Rule], down: Sequence[Rule]) -> list[tuple[list[float], list[float]]]:
    """The edges of columns and rows of each group of lines that meet; two of each at least."""
    groups: list[tuple[list[Rule], list[Rule]]] = []
    for rule in across:
        crossed = [one for one in down if _meet(rule, one)]
        if not crossed:
            continue
        mine: tuple[list[Rule], list[Rule]] = ([rule], list(crossed))
        apart = []
        for group in groups:
            if any(one in group[1] for one in crossed):
                mine[0].extend(group[0])
                mine[1].extend(one for one in group[1] if one not in mine[1])
            else:
                apart.append(group)
        groups = [*apart, mine]
    found = []
    for rows, columns in groups:
        xs, ys = _distinct([rule.at for rule in columns]), _distinct([rule.at for rule in rows])
        if len(xs) > 2 and len(ys) > 1 and (len(xs) - 1) * (len(ys) - 1) <= MOST_CELLS:
            found.append((xs, ys))
    return found


def _meet(across: Rule, down: Rule) -> bool:
    return (
        across.low - TOUCH <= down.at <= across.high + TOUCH and down.low - TOUCH <= across.at <= down.high + TOUCH
    )


def _distinct(values: Sequence[float]) -> list[float]:
    kept: list[float] = []
    for value in sorted(values):
        if not kept or value - kept[-1] > TOUCH:
            kept.append(value)
    return kept


def _stacks(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Groups of three or more lines across of one width, one below the other."""
    groups: list[list[Rule]] = []
    for rule in sorted(rules, key=lambda one: one.at):
        if rule.high - rule.low < LEAST_WIDTH:
            continue
        for group in groups:
            if abs(group[0].low - rule.low) <= TOUCH and abs(group[0].high - rule.high) <= TOUCH:
                group.append(rule)
                break
        else:
            groups.append([rule])
    return [group for group in groups if len(group) >= 3]


def _parted(runs: Sequence[Run], box: tuple[float, float, float, float]) -> tuple[list[Run], list[Run]]:
    """The runs in a box, and the others."""
    x0, y0, x1, y1 = box
    inside: list[Run] = []
    others: list[Run] = []
    for run in runs:
        x, y = (run.x0 + run.x1) / 2, (run.y0 + run.y1) / 2
        (inside if x0 - TOUCH <= x <= x1 + TOUCH and y0 - TOUCH <= y <= y1 + TOUCH else others).append(run)
    return inside, others


def _cells(runs: Sequence[Run], xs: Sequence[float], ys: Sequence[float]) -> list[list[str]] | None:
    """The texts of a grid's cells, without rows and columns that have none; `None` if that leaves no table."""
    cells: list[list[list[Word]]] = [[[] for _ in xs[1:]] for _ in ys[1:]]
    for run in runs:
        for word in run.words:
            column = bisect_right(xs, (word.x0 + word.x1) / 2) - 1
            row = bisect_right(ys, (word.y0 + word.y1) / 2) - 1
            cells[min(max(row, 0), len(ys) - 2)][min(max(column, 0), len(xs) - 2)].append(word)
    rows = [[_lines(cell) for cell in row] for row in cells]
    parted = [part for row in rows for part in _text_rows(row)]
    return _solid(parted)


def _text_rows(row: Sequence[Sequence[str]]) -> list[list[str]]:
    """A ruled row as one row, or as several if each of its cells has as many lines: they are not ruled apart."""
    filled = {len(cell) for cell in row if cell}
    if len(filled) == 1 and (count := filled.pop()) > 2 and sum(map(bool, row)) > 1:
        return [[cell[i] if cell else "" for cell in row] for i in range(count)]
    return [[" ".join(cell) for cell in row]]


def _lines(words: Sequence[Word]) -> list[str]:
    lines: list[list[Word]] = []
    for word in sorted(words, key=lambda one: (one.y0 + one.y1) / 2):
        if lines and (word.y0 + word.y1) / 2 < lines[-1][0].y1:
            lines[-1].append(word)
        else:
            lines.append([word])
    return [" ".join(word.text for word in sorted(line, key=lambda one: one.x0)) for line in lines]


def _solid(rows: Sequence[Sequence[str]]) -> list[list[str]] | None:
    full = [row for row in rows if any(row)]
    used = [column for column in range(len(rows[0])) if any(row[column] for row in full)] if full else []
    if len(full) < 2 or len(used) < 2:
        return None
    return [[row[column] for column in used] for row in full]


def _open_cells(runs: Sequence[Run]) -> list[list[str]] | None:
    """The cells of a table without lines down: columns are where no row has text."""
    words = [word for run in runs for word in run.words]
    if len(words) < 4:
        return None
    height = mean(word.y1 - word.y0 for word in words)
    rows: list[list[Word]] = []
    for word in sorted(words, key=lambda one: (one.y0 + one.y1) / 2):
        if rows and (word.y0 + word.y1) / 2 < rows[-1][0].y1:
            rows[-1].append(word)
        else:
            rows.append([word])
    edges = _free_edges(words, GAP * height)
    if not edges or len(rows) < 2:
        return None
    cells = [[""] * (len(edges) + 1) for _ in rows]
    for row, texts in zip(rows, cells, strict=True):
        for word in sorted(row, key=lambda one: one.x0):
            column = bisect_right(edges, (word.x0 + word.x1) / 2)
            texts[column] = f"{texts[column]} {word.text}".strip()
    filled = [cell for row in cells for cell in row if cell]
    if mean(1 + cell.count(" ") for cell in filled) > MOST_CELL_WORDS or len(filled) < 0.4 * len(cells) * len(
        cells[0]
    ):
        return None
    return _solid(_continued(cells))


def _continued(cells: Sequence[list[str]]) -> list[list[str]]:
    """The rows, one without a first cell joined to the one before it: its other cells go on there."""
    rows: list[list[str]] = []
    for cell in cells:
        if rows and not cell[0] and len(rows) > 1:
            rows[-1] = [f"{before} {more}".strip() for before, more in zip(rows[-1], cell, strict=True)]
        else:
            rows.append(cell)
    return rows


def _free_edges(words: Sequence[Word], least: float) -> list[float]:
    """The middles of the gaps that no word reaches into."""
    edges: list[float] = []
    reached = None
    for word in sorted(words, key=lambda one: one.x0):
        if reached is not None and word.x0 - reached >= least:
            edges.append((word.x0 + reached) / 2)
        reached = word.x1 if reached is None else max(reached, word.x1)
    return edges
