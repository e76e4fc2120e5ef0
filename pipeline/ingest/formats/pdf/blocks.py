"""Lines → Markdown: paragraphs, headings, lists, code and tables, with the offset at which each page begins."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from pipeline.ingest.formats.markup import escaped, fenced, heading
from pipeline.ingest.formats.pdf.furniture import LARGEST as LARGER
from pipeline.ingest.formats.pdf.furniture import body_size
from pipeline.ingest.formats.pdf.layout import Line
from pipeline.ingest.formats.pdf.page import HYPHEN

MOST_HEADING = 160
MOST_BOLD = 80
"""A bold line alone is a heading if it is no longer."""
MOST_LEVELS = 5
LEADERS = 3
"""A page with so many lines that lead to a page number is one of contents, whose lines are no headings."""
PITCH = 1.35
"""Lines farther apart than so many times the usual are of two paragraphs."""
INDENT = 0.8
SHORT = 0.85
SAME_SIZE = 0.6

_BULLET = re.compile(r"^(?:[•●▪■◦‣∙·○–➢➤✓]|\uf0b7|\uf0a7)\s+")
_ITEM = re.compile(r"^(?:\(?(?:\d{1,3}|[a-z]|[ivx]{1,5})[.)]|\[\d{1,3}\]|[-*]|[①-⑳]|[가-하]\.)\s+\S")
_NUMBERED = re.compile(
    r"^(?:(?:chapter|section|appendix|part|제)\s*)?(?:\d{1,3}|[A-Z])(?:\.\d{1,3})*\.?\s+\S", re.I
)
_LEADER = re.compile(r"(?:\s?[.·․]){4,}\s*|\s?…{2,}\s*")
_PAGE_NUMBER = re.compile(r"\s(?:\d+|[ivxlc]+)$")
_ENDED = re.compile(r"[.!?:;。！？…][\"'”’)\]]*$")
_WORD = re.compile(r"\w+(?:-\w+)*")
_LETTERS_END = re.compile(r"(\w+)[-‐\u00ad]$")
_LETTERS_START = re.compile(r"^\w+(?:-\w+)*")
HYPHENS = ("-", "‐", HYPHEN)
_CJK = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_HANGUL = re.compile("[가-힣]")


@dataclass(slots=True)
class Block:
    """Lines that belong together. `page`: the number of the page, from 0, that it begins on."""

    lines: list[Line]
    page: int
    pages: list[int] = field(default_factory=list)
    """The page of each line."""

    @property
    def first(self) -> Line:
        """The first line."""
        return self.lines[0]

    @property
    def last(self) -> Line:
        """The last line so far."""
        return self.lines[-1]


@dataclass(frozen=True, slots=True)
class Written:
    """A document's text, and the offset at which each of its pages begins."""

    text: str
    pages: list[int]


def write(pages: Sequence[Sequence[Line]], outline: Mapping[int, Mapping[str, int]]) -> Written:
    """The Markdown of pages' lines. `outline`: by page, the titles of the document's own outline, and levels."""
    blocks = _blocks(pages)
    words = Counter(word for page in pages for line in page for word in _WORD.findall(line.text.casefold()))
    levels = _Levels(pages, outline)
    text, starts, length = [], [0] * len(pages), 0
    page = 0
    for block in blocks:
        parts = _texts(block, words, levels.of(block))
        for number, part in parts:
            while page < number:
                page += 1
                starts[page] = length
            text.append(part)
            length += len(part)
        text.append("\n\n")
        length += 2
    while page + 1 < len(pages):
        page += 1
        starts[page] = length
    whole = "".join(text).rstrip("\n")
    return Written(whole + "\n" if whole else "", [min(start, len(whole)) for start in starts])


def _blocks(pages: Sequence[Sequence[Line]]) -> list[Block]:
    blocks: list[Block] = []
    for number, lines in enumerate(pages):
        pitch = _pitches(lines)
        for line in lines:
            if blocks and _goes_on(blocks[-1], line, number, pitch):
                blocks[-1].lines.append(line)
                blocks[-1].pages.append(number)
            else:
                blocks.append(Block([line], number, [number]))
    return blocks


def _pitches(lines: Sequence[Line]) -> dict[float, float]:
    """How far apart lines of each size usually are."""
    found: dict[float, list[float]] = {}
    for before, line in pairwise(lines):
        if before.column == line.column and before.size == line.size and line.y1 > before.y1:
            found.setdefault(line.size, []).append(line.y1 - before.y1)
    return {size: min(median(steps), 2.2 * size) for size, steps in found.items()}


def _goes_on(block: Block, line: Line, page: int, pitch: Mapping[float, float]) -> bool:
    """Whether a line belongs to the block before it."""
    last = block.last
    if last.table or line.table or last.mono != line.mono or abs(last.size - line.size) > SAME_SIZE:
        return False
    if block.pages[-1] != page or last.column != line.column:
        return not line.mono and _continues(last, line)
    step = line.y1 - last.y1
    usual = pitch.get(line.size, 1.3 * line.size)
    if step <= 0 or step > PITCH * max(usual, 1.1 * line.size):
        return line.mono and 0 < step < 3.2 * line.size
    if line.mono:
        return True
    if last.bold != line.bold and (last.bold or _NUMBERED.match(line.text)):
        return False
    if _BULLET.match(line.text) or (_ITEM.match(line.text) and line.x0 <= block.first.x0 + 2):
        return False
    listed = _BULLET.match(block.first.text) or _ITEM.match(block.first.text)
    if listed:
        return line.x0 > block.first.x0 - 2
    if line.x0 > last.x0 + INDENT * line.size and len(block.lines) > 1:
        return False
    ends_short = last.x1 < last.left + SHORT * (last.right - last.left)
    return not (ends_short and _ENDED.search(last.text) and line.x0 <= line.left + INDENT * line.size)


def _continues(last: Line, line: Line) -> bool:
    """Whether a paragraph goes on in the next column, or on the next page."""
    if last.bold or _BULLET.match(line.text) or _ITEM.match(line.text):
        return False
    if last.text.endswith(HYPHENS):
        return True
    start = line.text[:1]
    return not _ENDED.search(last.text) and (start.islower() or bool(_HANGUL.match(start)))


class _Levels:
    """Which blocks are headings, and of which level: by the document's outline if it has one, else by size."""

    def __init__(self, pages: Sequence[Sequence[Line]], outline: Mapping[int, Mapping[str, int]]) -> None:
        self._body = body_size(pages)
        short = Counter(
            line.size
            for page in pages
            for line in page
            if line.size >= LARGER * self._body and len(line.text) <= MOST_HEADING
        )
        self._sizes = sorted(short, reverse=True)
        self._outline = outline
        self._contents = {
            number
            for number, page in enumerate(pages)
            if sum(bool(_LEADER.search(line.text)) for line in page) >= LEADERS
        }

    def of(self, block: Block) -> int:
        """The level of a heading, 0 for another block."""
        first = block.first
        text = " ".join(line.text for line in block.lines)
        if first.table or first.mono or len(text) > MOST_HEADING or not any(c.isalpha() for c in text):
            return 0
        if block.page in self._contents and _PAGE_NUMBER.search(text):
            return 0
        named = self._named(block, text)
        if named:
            return named
        if first.size >= LARGER * self._body and not text.endswith((",", ";")):
            return min(1 + self._sizes.index(first.size), MOST_LEVELS) if first.size in self._sizes else MOST_LEVELS
        if first.size < self._body or _ENDED.search(text) or not all(line.bold for line in block.lines):
            return 0
        if numbered := _NUMBERED.match(text):
            return min(len(self._sizes) + 1 + numbered.group().split()[0].strip(".").count("."), 6)
        return min(len(self._sizes) + 1, 6) if len(block.lines) == 1 and len(text) <= MOST_BOLD else 0

    def _named(self, block: Block, text: str) -> int:
        if not self._outline:
            return 0
        wanted = plain(text)
        for page in (block.page, block.page - 1, block.page + 1):
            if level := self._outline.get(page, {}).get(wanted):
                return level
        return 0


def plain(title: str) -> str:
    """A heading as it is compared: its letters and digits, without a number before it."""
    text = re.sub(
        r"^(?:chapter|section|appendix|part)?\s*(?:[\dA-Z]{1,3}(?:\.\d+)*\.?)\s+", "", title.strip(), flags=re.I
    )
    return "".join(character for character in (text or title).casefold() if character.isalnum())


def _texts(block: Block, words: Mapping[str, int], level: int) -> list[tuple[int, str]]:
    """The text of a block, in a part for each page that it is on."""
    first = block.first
    if first.table:
        return [(block.page, first.text)]
    if first.mono and (len(block.lines) > 1 or not first.text.strip().isalnum()):
        return [(block.page, _code(block.lines))]
    parts: list[tuple[int, str]] = []
    for number, line in zip(block.pages, block.lines, strict=True):
        piece = _LEADER.sub(" … ", " ".join(line.text.split()))
        if parts:
            page, before = parts[-1]
            joint = _joint(before, piece, words)
            if before.endswith(HYPHENS) and joint != " ":
                parts[-1] = (page, before := before[:-1])
            piece = ("\n" if _ends_leader(before) else joint) + piece
        if parts and number == parts[-1][0]:
            parts[-1] = (number, parts[-1][1] + piece)
        else:
            parts.append((number, piece))
    whole = [(number, part.replace(HYPHEN, "")) for number, part in parts]
    if level:
        return [(block.page, heading(level, " ".join(part for _, part in whole)))]
    number, start = whole[0]
    bullet = _BULLET.match(start)
    return [(number, f"- {start[bullet.end() :]}" if bullet else escaped(start)), *whole[1:]]


def _ends_leader(text: str) -> bool:
    return bool(re.search(r"… [\divxlc]+$", text[-24:]))


def _joint(before: str, after: str, words: Mapping[str, int]) -> str:
    """What stands between two lines of a paragraph, in place of a hyphen before it."""
    left, right = _LETTERS_END.search(before), _LETTERS_START.match(after)
    if left and right:
        joined, hyphened = (left[1] + right[0]).casefold(), f"{left[1]}-{right[0]}".casefold()
        return "-" if words.get(hyphened, 0) > words.get(joined, 0) or not right[0][0].islower() else ""
    if before.endswith(HYPHENS):
        return "" if before.endswith(HYPHEN) else " "
    if _CJK.match(before[-1:]) and _CJK.match(after[:1]):
        return ""
    if _HANGUL.match(before[-1:]) and _HANGUL.match(after[:1]):
        tail, head = before.rpartition(" ")[2].casefold(), after.partition(" ")[0].casefold()
        return "" if words.get(tail + head, 0) > max(words.get(tail, 0) - 1, 0) else " "
    return " "


def _code(lines: Sequence[Line]) -> str:
    """Lines of code, each as far in as it is drawn, empty lines where there is room for one."""
    letter = median((line.x1 - line.x0) / max(len(line.text), 1) for line in lines) or 1.0
    left = min(line.x0 for line in lines)
    text: list[str] = []
    for i, line in enumerate(lines):
        if i and line.y1 - lines[i - 1].y1 > 1.9 * line.size:
            text.append("")
        text.append(" " * min(60, round((line.x0 - left) / letter)) + line.text)
    return fenced("\n".join(text).replace(HYPHEN, "-"))
