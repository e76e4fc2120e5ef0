"""What is printed on every page beside the text: running heads and feet, and page numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from pipeline.ingest.formats.pdf.layout import Line

ZONE = 0.15
"""Heads and feet are in this share of a page's height, at its top and its bottom, …"""
ROWS = 3
"""… among this many lines, …"""
PAGES = 3
"""… and on so many pages; on all of a document that has only two."""
SAME_PLACE = 6.0
LARGEST = 1.12
"""What is so many times larger than the text is a heading, such as that of each chapter on its first page."""

_NUMBER = re.compile(r"\d+|\b[ivxlcdm]+\b", re.IGNORECASE)
_ALONE = re.compile(
    r"[-–—\s\[(|]*(?:page|p\.|seite|페이지|쪽)?\s*#\s*(?:(?:/|of|von|/\s*)\s*#)?[-–—\s\])|]*", re.IGNORECASE
)


def without_furniture(pages: Sequence[list[Line]], heights: Sequence[float]) -> list[list[Line]]:
    """The pages' lines, without those that repeat at the top or the bottom of pages but for the numbers in them."""
    counts: Counter[tuple[str, int, bool]] = Counter()
    for lines, height in zip(pages, heights, strict=True):
        counts.update(key for line in _at_edges(lines, height) for key in _keys(line, height, as_counted=True))
    least = min(PAGES, max(2, len(pages)))
    largest = LARGEST * body_size(pages)
    kept: list[list[Line]] = []
    for lines, height in zip(pages, heights, strict=True):
        repeated = {
            id(line)
            for line in _at_edges(lines, height)
            if line.size <= largest and any(counts[key] >= least for key in _keys(line, height, as_counted=False))
        }
        kept.append([line for line in lines if id(line) not in repeated])
    return kept


def body_size(pages: Sequence[Sequence[Line]]) -> float:
    """The size of most of the text; 0 if there is none."""
    letters: Counter[float] = Counter()
    for page in pages:
        for line in page:
            if not line.table:
                letters[line.size] += len(line.text)
    return letters.most_common(1)[0][0] if letters else 0.0


def _at_edges(lines: Sequence[Line], height: float) -> list[Line]:
    plain = sorted((line for line in lines if not line.table), key=lambda line: line.y0)
    heads = [line for line in plain[:ROWS] if line.y1 < ZONE * height]
    feet = [line for line in plain[-ROWS:] if line.y0 > (1 - ZONE) * height and line not in heads]
    return heads + feet


def _keys(line: Line, height: float, as_counted: bool) -> list[tuple[str, int, bool]]:
    """A line's words without numbers, and about where it is; a number alone may be anywhere on its line."""
    words = _NUMBER.sub("#", " ".join(line.text.split()).casefold())
    if _ALONE.fullmatch(words):
        words = "#"
    is_head = line.y1 < height / 2
    place = int(line.y0 // SAME_PLACE)
    if as_counted:
        return [(words, place, is_head)]
    return [(words, near, is_head) for near in (place - 1, place, place + 1)]
