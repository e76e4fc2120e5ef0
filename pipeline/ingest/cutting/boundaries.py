"""Where a text may be cut, and how good a cut each place is: headings, blocks, lines, sentences.

A cut is the offset at which the next chunk begins. A run of white space holds one cut at most: after its last line
end, or else after the run. Words and graphemes are looked up only where nothing better is in reach (`weak_cut`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import regex

from pipeline.ingest.cutting.markdown import Outline

HEADING = 1.3
HEADING_STEP = 0.05
RULE = 0.8
BLOCK = 0.45
BLOCK_STEP = 0.03
LINE = 0.3
SENTENCE = 0.2
DOUBTFUL_SENTENCE = 0.1
VERBATIM_LINE = 0.2
AFTER_HEADING = -1.0
"""Worth of a cut, to be added to the share of the chunk that is filled there (0 to 1)."""

Fits = Callable[[int, int], bool]
"""Whether the stretch from one offset to another can be a chunk of its own."""
Overlay = Callable[[dict[int, float], Fits], list[int]]
"""Changes the worth of the places found so far; returns those that no chunk goes beyond."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Good places to cut a text: offsets, ascending and unique, and the worth of each.

    `stops`: those among the offsets that no chunk goes beyond, ascending.
    """

    offsets: npt.NDArray[np.int64]
    worth: npt.NDArray[np.float64]
    stops: npt.NDArray[np.int64]

    def within(self, start: int, end: int) -> Cuts:
        """Those between two offsets, counted from the first."""
        kept = (self.offsets > start) & (self.offsets < end)
        stops = self.stops[(self.stops > start) & (self.stops < end)]
        return Cuts(self.offsets[kept] - start, self.worth[kept], stops - start)


CLOSERS = "\"'”’»)\\]）］」』】〉》〕｣＂"
_SENTENCE = re.compile(
    rf"(?:[.!?…]+[{CLOSERS}]*(?=\s)|[。！？｡．]+[{CLOSERS}]*|(?<=[다요죠까네])[.!?]+(?=[가-힣]))\s*"
)
_LINES = re.compile(r"(?:\r\n?|\n)\s*")
_BLANK_LINE = re.compile(r"(?:\r\n?|\n)[^\S\r\n]*(?:\r\n?|\n)")
_NOT_SPACE = re.compile(r"\S")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LAST_WORD = re.compile(r"[^\W\d_]+(?:\.[^\W\d_]+)*$")
_QUOTING_PARTICLE = ("と", "って", "라고")
_SHORT = """
mr mrs ms dr prof st mt vs fig figs eq no nos vol al inc ltd co corp jr sr dept approx cf pp ed eds gen col sgt rev
hon sen rep gov e.g i.e u.s u.k a.m p.m ph.d jan feb mar apr jun jul aug sep sept oct nov dec
"""
ABBREVIATIONS = frozenset(_SHORT.split())
_CLAUSE = re.compile(r"[,;:)\]—–]+\s+|[，；：、」』）]+\s*")
_LINE_END = re.compile(r"[\r\n]")
_SPACE = re.compile(r"\s")
_PLAIN = re.compile("[!-~가-힣一-鿿ぁ-ヿ]")  # each of these begins a grapheme
_GRAPHEME = regex.compile(r"\X")

WRAPPED_WIDTH = 45
WRAPPED_WIDTH_CJK = 35


def cuts_of(
    text: str,
    outline: Outline | None,
    fits: Fits = lambda start, end: False,
    overlay: Overlay = lambda worth, fits: [],
) -> Cuts:
    """The good places to cut `text`; `outline` is that of a Markdown text.

    Code and tables that fit are never cut; others are cut between lines. `overlay` may change what was found.
    """
    worth: dict[int, float] = {}

    def offer(offset: int, value: float) -> None:
        place = settle(text, offset)
        if 0 < place < len(text):
            worth[place] = max(value, worth.get(place, -9.0))

    for end, value in sentence_ends(text):
        offer(end, value)
    for match in _LINES.finditer(text):
        if _BLANK_LINE.match(text, match.start()):
            offer(match.start(), BLOCK)
        elif not _is_soft_wrap(text, match.start(), match.end()):
            offer(match.start(), LINE)
    if outline is not None:
        _overlay(text, outline, worth, fits)
    stops = set(overlay(worth, fits))
    first = _NOT_SPACE.search(text)
    places = sorted(place for place in worth if first is not None and place > first.start())
    return Cuts(
        np.array(places, dtype=np.int64),
        np.array([worth[place] for place in places], dtype=np.float64),
        np.array(sorted(stops.intersection(places)), dtype=np.int64),
    )


def encodable(text: str) -> str:
    """`text` with a question mark for each half of a surrogate pair, which no tokenizer takes."""
    return text if text.isascii() else _LONE_SURROGATE.sub("?", text)


def settle(text: str, offset: int) -> int:
    """The one cut of the run of white space around `offset`; `offset` itself if it is in none."""
    start = offset
    while start and text[start - 1].isspace():
        start -= 1
    following = _NOT_SPACE.search(text, offset)
    end = following.start() if following else len(text)
    line_end = max(text.rfind("\n", start, end), text.rfind("\r", start, end))
    return line_end + 1 if line_end >= 0 and following else end


def sentence_ends(text: str) -> Iterator[tuple[int, float]]:
    """Offsets behind sentences and the white space after them, and their worth as cuts.

    Marks are Western, Korean, Chinese and Japanese; where the next word is not capitalised the worth is less.
    """
    for match in _SENTENCE.finditer(text):
        mark, end = match.group().rstrip(), match.end()
        following = text[end : end + 1]
        if not following:
            continue
        if mark[0] in "。！？｡．":
            if mark[-1] not in "。！？｡．" and text.startswith(_QUOTING_PARTICLE, end):
                continue
        elif mark == "." and _is_abbreviation(text, match.start()):
            continue
        yield end, DOUBTFUL_SENTENCE if following.islower() else SENTENCE


def weak_cut(text: str, start: int, limit: int) -> int:
    """A cut in (start, limit] behind a clause, a word or a grapheme; beyond `limit` only if one grapheme is."""
    if limit < len(text) and text[limit].isspace():
        return settle(text, limit)
    clause = 0
    for match in _CLAUSE.finditer(text, (start + limit) // 2, limit):
        clause = match.end()
    if start < clause < limit:
        return settle(text, clause)
    space = _SPACE.search(text[start + 1 : limit][::-1])
    if space is not None:
        return settle(text, limit - space.start())
    return _grapheme_cut(text, start, limit)


def _grapheme_cut(text: str, start: int, limit: int) -> int:
    plain = _PLAIN.search(text[start + 1 : limit + 1][::-1])
    last = limit + 1 - plain.end() if plain else start
    for match in _GRAPHEME.finditer(text, last):
        if match.end() > limit:
            return last if last > start else match.end()
        last = match.end()
    return len(text)


def _is_abbreviation(text: str, dot: int) -> bool:
    word = _LAST_WORD.search(text, max(0, dot - 12), dot)
    if word is None:
        return False
    name = word.group()
    return name.lower() in ABBREVIATIONS or (len(name) == 1 and name.isupper() and name != "I")


def _is_soft_wrap(text: str, line_end: int, following: int) -> bool:
    """Whether a line seems to end only because it was full: the sentence goes on in the next one."""
    last, first = text[line_end - 1 : line_end], text[following : following + 1]
    if not (last.isalnum() or last in ",;-–—，、"):
        return False
    if first.islower():
        width = WRAPPED_WIDTH
    elif first.isalpha() and not first.isupper():
        width = WRAPPED_WIDTH_CJK
    else:
        return False
    return line_end >= width and not _LINE_END.search(text, line_end - width, line_end)


def _overlay(text: str, outline: Outline, worth: dict[int, float], fits: Fits) -> None:
    """Blocks and headings over the lines; nothing inside code and tables but lines, if they cannot stay whole."""
    places = sorted(worth)
    for start, end in outline.verbatim:
        for place in places[bisect_right(places, start) : bisect_left(places, end)]:
            del worth[place]
        if not fits(start, end):
            for match in _LINES.finditer(text, start, end):
                place = settle(text, match.start())
                if start < place < end:
                    worth[place] = VERBATIM_LINE
    for offset, depth in outline.blocks.items():
        worth[offset] = BLOCK - BLOCK_STEP * min(depth, 5)
    for offset in outline.rules:
        worth[offset] = RULE
    for heading in outline.headings:
        worth[heading.start] = HEADING - HEADING_STEP * heading.level
    for heading in outline.headings:
        after = settle(text, heading.end)
        if after in worth:
            worth[after] = AFTER_HEADING
