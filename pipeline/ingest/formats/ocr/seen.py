"""Lines that were seen in a picture → runs of words on a page, as of one that has text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pipeline.ingest.formats.ocr.recogniser import Grey, Recogniser, SeenLine
from pipeline.ingest.formats.pdf.page import Page, Run, Word

LEAST_CONFIDENCE = 0.5
"""A line that is read with less is not kept: pictures of other things give such."""
ALIKE = 1.3
"""Lines whose heights differ less from the usual are of the usual size: letters that reach down add to a box."""


@dataclass(frozen=True, slots=True)
class SeenPage:
    """A page with what was read on it, and how many lines were not kept."""

    page: Page
    dropped: int


def read_picture(picture: Grey, points: float, recogniser: Recogniser) -> SeenPage:
    """What a picture says. `points`: the size of a pixel on the page."""
    seen = recogniser.lines(picture)
    sure = [line for line in seen if line.confidence >= LEAST_CONFIDENCE]
    height = float(picture.shape[0]) * points
    return SeenPage(Page(_runs(sure, points), has_images=True, height=height), len(seen) - len(sure))


def _runs(lines: Sequence[SeenLine], points: float) -> list[Run]:
    if not lines:
        return []
    usual = median(line.size for line in lines for _ in range(len(line.text)))
    runs = []
    for line in lines:
        near = usual / ALIKE <= line.size <= usual * ALIKE
        size = round((usual if near else line.size) * points)
        runs.append(Run(_words(line, points), float(max(size, 1))))
    return runs


def _words(line: SeenLine, points: float) -> list[Word]:
    """A line's words, each given a part of the width by its letters."""
    each = (line.x1 - line.x0) / len(line.text)
    words, at = [], 0
    for word in line.text.split():
        start = line.text.index(word, at)
        at = start + len(word)
        box = (line.x0 + start * each, line.y0, line.x0 + at * each, line.y1)
        words.append(Word(word, *(points * edge for edge in box)))
    return words
