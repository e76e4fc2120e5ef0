"""A page as PDFium knows it: words with their places, ruled lines, and whether there are images."""

from __future__ import annotations

import ctypes
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MOST_OBJECTS = 50_000
"""A page of more drawn objects is a map or a plot: no tables are looked for."""
MOST_POINTS = 4_000
DEEPEST_FORM = 4
FIXED_PITCH, FORCE_BOLD = 1, 1 << 18
BOLD_WEIGHT = 600
NAME_BYTES = 128
SAMPLED = 200
MARGIN = 36.0
"""Points that are taken to be over and under the text of a turned page."""
STRAIGHT = 1.5
"""How many points a line may be off the horizontal or the vertical."""
SHORTEST_RULE = 4.0

_BREAKS = frozenset((0x0A, 0x0D))
_SPACES = frozenset((0x09, 0x20, 0xA0, 0x3000, *range(0x2000, 0x200C)))
_HYPHENS = frozenset((0x02, 0xAD, 0xFFFE))
"""What PDFium gives for a hyphen at the end of a line, and a soft one."""
_DOUBTFUL = -1
"""Stands for a blank that PDFium has put where the page has none."""
APART, TOUCHING = 0.2, 0.05
"""Letters farther apart than this share of their height are of two words; nearer ones of one."""
HYPHEN = "\u00ad"
"""Ends the text of a word that goes on in the next line."""


@dataclass(frozen=True, slots=True)
class Word:
    """Text without white space and its box: points from the left and from the top of the page."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(slots=True)
class Run:
    """Words on one line that follow each other closely, in one size."""

    words: list[Word]
    size: float
    mono: bool = False
    bold: bool = False

    @property
    def x0(self) -> float:
        """The left edge."""
        return self.words[0].x0

    @property
    def x1(self) -> float:
        """The right edge."""
        return self.words[-1].x1

    @property
    def y0(self) -> float:
        """The upper edge."""
        return min(word.y0 for word in self.words)

    @property
    def y1(self) -> float:
        """The lower edge."""
        return max(word.y1 for word in self.words)

    @property
    def text(self) -> str:
        """The words, with a blank between."""
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line: from `low` to `high`, at `at` on the other axis."""

    at: float
    low: float
    high: float


@dataclass(slots=True)
class Page:
    """What is on a page: upright text, straight lines `across` and `down`, and how high it is.

    `aside`: the words that stand at an angle to the others, such as a stamp on the margin.
    """

    runs: list[Run] = field(default_factory=list)
    across: list[Rule] = field(default_factory=list)
    down: list[Rule] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    has_images: bool = False
    height: float = 0.0


def read_page(page: Any) -> Page:
    """Words and lines of a pypdfium2 page, turned so that most of its text is upright."""
    import pypdfium2.raw as pdfium

    text = page.get_textpage()
    try:
        turn = _turn(text.raw, pdfium)
        aside: list[str] = []
        runs = list(_runs(text.raw, turn, aside, pdfium))
    finally:
        text.close()
    height = float(page.get_height())
    found = Page(runs, aside=aside, height=height)
    _Drawing(page, found, turn, pdfium).read()
    top = height if turn == 0 else max([run.y1 for run in runs], default=0.0) + MARGIN
    if turn:
        found.height = top - min([run.y0 for run in runs], default=0.0) + MARGIN
    for run in runs:
        run.words = [Word(w.text, w.x0, top - w.y1, w.x1, top - w.y0) for w in run.words]
    found.across = [Rule(top - rule.at, rule.low, rule.high) for rule in found.across]
    found.down = [Rule(rule.at, top - rule.high, top - rule.low) for rule in found.down]
    return found


def _turn(text: Any, pdfium: Any) -> int:
    """The quarter turns that most of some characters stand in."""
    count = pdfium.FPDFText_CountChars(text)
    turns = Counter(_quarters(text, i, pdfium) for i in range(0, count, max(1, count // SAMPLED)))
    return turns.most_common(1)[0][0] if turns else 0


def _quarters(text: Any, index: int, pdfium: Any) -> int:
    angle = pdfium.FPDFText_GetCharAngle(text, index)
    return round(angle / (math.pi / 2)) % 4 if angle >= 0 else 0


def _upright(turn: int, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    """A box after so many quarter turns to the left, about the origin."""
    for _ in range(turn):
        x0, y0, x1, y1 = -y1, x0, -y0, x1
    return x0, y0, x1, y1


def _runs(text: Any, turn: int, aside: list[str], pdfium: Any) -> Iterator[Run]:
    """The upright runs of a page turned so, in the order in which it draws them, y upwards; the rest goes aside."""
    run: Run | None = None
    for word, first, last, ending in _words(text, turn, pdfium):
        before = run.words[-1] if run is not None else None
        if run is None or before is None or not _follows(before, word):
            if run is not None:
                yield run
            run = None
            if _quarters(text, first, pdfium) == turn:
                run = Run([word], _size(text, first, pdfium) or word.y1 - word.y0, *_look(text, first, pdfium))
            else:
                aside.append(word.text)
        elif before.text.endswith(HYPHEN):
            run.words[-1] = Word(before.text[:-1] + word.text, before.x0, before.y0, word.x1, word.y1)
        else:
            run.words.append(word)
            if len(run.words) == 2 and not before.text[-1].isalnum():  # a bullet, in a size of its own
                run.size = _size(text, first, pdfium) or run.size
        if run is not None and (run.mono or run.bold) and len(run.words) > 1:  # only if all words are
            mono, bold = _look(text, last, pdfium)
            run.mono, run.bold = run.mono and mono, run.bold and bold
        if ending in _BREAKS and run is not None:
            yield run
            run = None
    if run is not None:
        yield run


def _words(text: Any, turn: int, pdfium: Any) -> Iterator[tuple[Word, int, int, int]]:
    """Each word, the numbers of its first and its last character, and the code of what it ends with.

    Blanks are where the page has one, and where characters stand apart though it has none; where it has none and
    PDFium put one between characters that touch, there is none.
    """
    rect = pdfium.FS_RECTF()
    box = ctypes.byref(rect)
    code_at, box_at = pdfium.FPDFText_GetUnicode, pdfium.FPDFText_GetLooseCharBox
    letters: list[str] = []
    first = last = 0
    x0 = y0 = x1 = y1 = 0.0
    ending = 0
    count = pdfium.FPDFText_CountChars(text)
    for i in range(count):
        code = code_at(text, i)
        if code <= 0x20 or code in _SPACES or code in _HYPHENS:
            if letters and not ending:
                ending = (code or 0x20) if code != 0x20 or not pdfium.FPDFText_IsGenerated(text, i) else _DOUBTFUL
            elif code in _BREAKS and ending not in _HYPHENS:
                ending = code
            continue
        box_at(text, i, box)
        left, bottom, right, top = rect.left, rect.bottom, rect.right, rect.top
        if turn:
            left, bottom, right, top = _upright(turn, left, bottom, right, top)
        if letters:
            gap = (left - x1) / max(y1 - y0, 1.0)
            if ending == _DOUBTFUL and -TOUCHING < gap < TOUCHING and abs(bottom - y0) < 0.3 * (y1 - y0):
                ending = 0
            if ending or gap > APART:
                hyphen = HYPHEN if ending in _HYPHENS else ""
                yield Word("".join(letters) + hyphen, x0, y0, x1, y1), first, last, ending
                letters = []
        ending = 0
        if letters:
            x0, y0, x1, y1 = min(x0, left), min(y0, bottom), max(x1, right), max(y1, top)
        else:
            first, x0, y0, x1, y1 = i, left, bottom, right, top
        letters.append(_character(code))
        last = i
    if letters:
        yield Word("".join(letters), x0, y0, x1, y1), first, last, 0x0A


def _character(code: int) -> str:
    return "\ufffd" if 0xD800 <= code < 0xE000 or code > 0x10FFFF else chr(code)


def _follows(before: Word, word: Word) -> bool:
    """Whether a word goes on with another: on its line, and no farther from it than a wide blank."""
    height = max(before.y1 - before.y0, 1.0)
    if abs(word.y0 - before.y0) > 0.6 * height and abs(word.y1 - before.y1) > 0.6 * height:
        return False
    return -0.6 * height < word.x0 - before.x1 < 1.1 * height


def _size(text: Any, index: int, pdfium: Any) -> float:
    """The size of a character as it is drawn, in half points."""
    matrix = pdfium.FS_MATRIX()
    scale = 1.0
    if pdfium.FPDFText_GetMatrix(text, index, ctypes.byref(matrix)):
        scale = math.hypot(matrix.c, matrix.d) or 1.0
    return round(2 * float(pdfium.FPDFText_GetFontSize(text, index)) * scale) / 2


def _look(text: Any, index: int, pdfium: Any) -> tuple[bool, bool]:
    """Whether a character is monospaced, and bold."""
    flags = ctypes.c_int()
    buffer = ctypes.create_string_buffer(NAME_BYTES)
    length = pdfium.FPDFText_GetFontInfo(text, index, buffer, NAME_BYTES, ctypes.byref(flags))
    mono, bold = _style(buffer.raw[: max(0, min(length, NAME_BYTES) - 1)].decode("utf-8", "replace"))
    bold = bold or bool(flags.value & FORCE_BOLD) or pdfium.FPDFText_GetFontWeight(text, index) >= BOLD_WEIGHT
    return mono or bool(flags.value & FIXED_PITCH), bold


@lru_cache
def _style(font: str) -> tuple[bool, bool]:
    """Whether a font's name says that it is monospaced, and bold."""
    name = font.lower().partition("+")[2] or font.lower()
    mono = any(part in name for part in ("mono", "courier", "typewriter", "consol", "cmtt", "sftt", "menlo"))
    return mono, "bold" in name or "black" in name or name.startswith(("cmbx", "sfbx"))


class _Drawing:
    """What a page draws beside its text."""

    def __init__(self, page: Any, found: Page, turn: int, pdfium: Any) -> None:
        self._page, self._found, self._turn, self._pdfium = page, found, turn, pdfium

    def read(self) -> None:
        """Note the straight lines, and whether there is an image."""
        pdfium, page = self._pdfium, self._page.raw
        count = pdfium.FPDFPage_CountObjects(page)
        for i in range(min(count, MOST_OBJECTS)):
            self._object(pdfium.FPDFPage_GetObject(page, i), count <= MOST_OBJECTS, 0)

    def _object(self, drawn: Any, rules: bool, depth: int) -> None:
        pdfium = self._pdfium
        kind = pdfium.FPDFPageObj_GetType(drawn)
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            self._found.has_images = True
        elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < DEEPEST_FORM:
            for i in range(min(pdfium.FPDFFormObj_CountObjects(drawn), MOST_OBJECTS)):
                self._object(pdfium.FPDFFormObj_GetObject(drawn, i), False, depth + 1)
        elif kind == pdfium.FPDF_PAGEOBJ_PATH and rules:
            self._lines(drawn)

    def _lines(self, path: Any) -> None:
        pdfium = self._pdfium
        count = pdfium.FPDFPath_CountSegments(path)
        if not 2 <= count <= MOST_POINTS:
            return
        matrix = pdfium.FS_MATRIX()
        pdfium.FPDFPageObj_GetMatrix(path, ctypes.byref(matrix))
        x, y = ctypes.c_float(), ctypes.c_float()
        start = before = (0.0, 0.0)
        for i in range(count):
            segment = pdfium.FPDFPath_GetPathSegment(path, i)
            pdfium.FPDFPathSegment_GetPoint(segment, ctypes.byref(x), ctypes.byref(y))
            point = (
                matrix.a * x.value + matrix.c * y.value + matrix.e,
                matrix.b * x.value + matrix.d * y.value + matrix.f,
            )
            kind = pdfium.FPDFPathSegment_GetType(segment)
            if kind == pdfium.FPDF_SEGMENT_MOVETO:
                start = point
            elif kind == pdfium.FPDF_SEGMENT_LINETO:
                self._line(before, point)
            if pdfium.FPDFPathSegment_GetClose(segment):
                self._line(point, start)
            before = point

    def _line(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        (x0, x1), (y0, y1) = sorted((begin[0], end[0])), sorted((begin[1], end[1]))
        x0, y0, x1, y1 = _upright(self._turn, x0, y0, x1, y1)
        if y1 - y0 <= STRAIGHT and x1 - x0 >= SHORTEST_RULE:
            self._found.across.append(Rule((y0 + y1) / 2, x0, x1))
        elif x1 - x0 <= STRAIGHT and y1 - y0 >= SHORTEST_RULE:
            self._found.down.append(Rule((x0 + x1) / 2, y0, y1))
