"""Tables of reStructuredText → rows of cells: drawn with lines (grid), with borders (simple), as lists, as CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from itertools import pairwise
from unicodedata import east_asian_width

Rows = list[list[str]]

GRID = re.compile(r"^\s*\+(?:-{3,}\+)+\s*$")
SIMPLE = re.compile(r"^\s*={2,}(?:\s+={2,})+\s*$")
_RULE = re.compile(r"^\s*(?:={2,}|-{2,})(?:\s+(?:={2,}|-{2,}))*\s*$")
_FILL = "\0"
"""Stands behind a character that takes two columns."""
_OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")


def grid(lines: Sequence[str], place: int) -> tuple[Rows, int]:
    """The table whose upper line is at `place`, and the line behind it."""
    end = place
    while end < len(lines) and lines[end].lstrip()[:1] in ("+", "|") and lines[end].strip():
        end += 1
    margin = len(lines[place]) - len(lines[place].lstrip())
    drawn = [_wide(line)[margin:].rstrip() for line in lines[place:end]]
    bounds = sorted({match.start() for line in drawn if line.startswith("+") for match in re.finditer(r"\+", line)})
    rows: Rows = []
    cells = [""] * (len(bounds) - 1)
    for line in drawn[1:]:
        is_rule = line.startswith("+")
        column = 0
        for number, (left, right) in enumerate(pairwise(bounds)):
            part = line[left:right]
            if part[:1] in ("|", "+", ""):
                column, part = number, f" {part[1:]}"
            if not (is_rule and part.strip() and not part.strip(" -=")):
                cells[column] += part  # one over several columns goes on
        if is_rule:
            rows.append([_plain(cell) for cell in cells])
            cells = [""] * len(cells)
    return [row for row in rows if any(row)], end


def simple(lines: Sequence[str], place: int) -> tuple[Rows, int]:
    """The table whose upper border is at `place`, and the line behind its last: a border before an empty line."""
    end = place + 1
    while end < len(lines) and not (
        SIMPLE.match(lines[end]) and (end + 1 == len(lines) or not lines[end + 1].strip())
    ):
        end += 1
    if end == len(lines):
        return [], place + 1
    starts = [match.start() for match in re.finditer(r"=+", lines[place])]
    bounds = [*starts, 1 << 20]
    rows: Rows = []
    for line in map(_wide, lines[place + 1 : end]):
        if _RULE.match(line) or not line.strip():
            continue
        cells = [_plain(line[left:right]) for left, right in pairwise(bounds)]
        if not cells[0] and rows:
            rows[-1] = [f"{above} {cell}".strip() for above, cell in zip(rows[-1], cells, strict=True)]
        else:
            rows.append(cells)
    return rows, end + 1


def of_list(block: Sequence[str]) -> Rows:
    """The rows of a `list-table`: a list of lists."""
    rows: Rows = []
    for line in block:
        if match := re.match(r"^\*\s+-(?:\s+(.*))?$", line):
            rows.append([match[1] or ""])
        elif rows and (match := re.match(r"^ {1,8}-(?:\s+(.*))?$", line)):
            rows[-1].append(match[1] or "")
        elif rows and line.strip():
            rows[-1][-1] = f"{rows[-1][-1]} {line.strip()}".strip()
    return rows


def of_csv(options: Sequence[str], block: Sequence[str]) -> Rows:
    """The rows of a `csv-table`, below the header that its options give."""
    given = {match[1]: match[2] for line in options if (match := _OPTION.match(line.strip()))}
    lines = [given["header"]] if given.get("header") else []
    try:
        return [row for row in csv.reader([*lines, *block], skipinitialspace=True) if any(row)]
    except csv.Error:
        return []


def _wide(line: str) -> str:
    """The line with a character for each column of a terminal, as which tables are drawn."""
    if line.isascii():
        return line
    return "".join(char + _FILL if east_asian_width(char) in "WF" else char for char in line)


def _plain(cell: str) -> str:
    return " ".join(cell.replace(_FILL, "").split())
