"""Where the blocks and headings of a Markdown text are, as offsets into the text, by markdown-it's block parser."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cache

from markdown_it import MarkdownIt

_NOT_SPACE = re.compile(r"\S")
_LINE_END = re.compile(r"\r\n?|\n")
_ATTRIBUTES = re.compile(r"\s*\{[^{}]*\}\s*$")
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_EMPHASIS = re.compile(r"(\*\*|__|\*|`+|~~)(?=\S)(.+?)(?<=\S)\1")

OPENING = frozenset({"paragraph_open", "list_item_open", "blockquote_open", "table_open"})
LEAVES = frozenset({"fence", "code_block", "html_block"})


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading outside lists and quotes: `text[start:end]` holds it, markup included; `title` is plain."""

    start: int
    end: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class TableLines:
    """A table: `text[start:end]` holds it. `rows`: where the line of each row begins, the header's first."""

    start: int
    end: int
    rows: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outline:
    """`headings` in order. `blocks`: offset where a block, list item or thematic break starts → nesting depth.

    `rules`: offsets of thematic breaks. `verbatim`: (start, end) of code blocks, HTML blocks and tables. `tables`:
    the tables among them, in order.
    """

    headings: list[Heading] = field(default_factory=list)
    blocks: dict[int, int] = field(default_factory=dict)
    rules: set[int] = field(default_factory=set)
    verbatim: list[tuple[int, int]] = field(default_factory=list)
    tables: list[TableLines] = field(default_factory=list)


def outline(text: str) -> Outline:
    """Parse the block structure; inline markup is looked at only in headings."""
    offsets = [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]
    found = Outline()
    tokens = _parser().parse(text)
    for i, token in enumerate(tokens):
        if token.map is None:
            continue
        start, end = (offsets[min(line, len(offsets) - 1)] for line in token.map)
        if token.type == "heading_open":
            found.blocks.setdefault(start, token.level)
            if token.level == 0:
                title = plain_title(tokens[i + 1].content)
                found.headings.append(Heading(start, end, int(token.tag[1:]), title))
        elif token.type == "hr":
            found.blocks.setdefault(start, token.level)
            found.rules.add(start)
        elif token.type in OPENING or token.type in LEAVES:
            found.blocks.setdefault(start, token.level)
            if token.type in LEAVES or token.type == "table_open":
                found.verbatim.append((start, end))
            if token.type == "table_open":
                found.tables.append(TableLines(start, end))
        elif token.type == "tr_open":
            found.tables[-1].rows.append(start)
    return found


def plain_title(source: str) -> str:
    """A heading's text without emphasis, link targets, code marks and a trailing `{#anchor}`; one line."""
    title = _LINK.sub(r"\1", _ATTRIBUTES.sub("", " ".join(source.split())))
    for _ in range(3):
        title = _EMPHASIS.sub(r"\2", title)
    return title.strip()


class HeadingPath:
    """The headings in force at any offset of a text."""

    def __init__(self, text: str, headings: list[Heading]) -> None:
        self._text = text
        self._starts = [heading.start for heading in headings]
        self._paths: list[tuple[Heading, ...]] = [()]
        for heading in headings:
            kept = [above for above in self._paths[-1] if above.level < heading.level]
            self._paths.append((*kept, heading))
        self._run_ends = list(range(1, len(headings) + 1))
        for i in range(len(headings) - 2, -1, -1):
            if self._is_blank(headings[i].end, headings[i + 1].start):
                self._run_ends[i] = self._run_ends[i + 1]

    def at(self, start: int) -> tuple[str, ...]:
        """Titles, outermost first, of the sections around `start`; headings that begin right there count too."""
        following = bisect_left(self._starts, start)
        if following < len(self._starts) and self._is_blank(start, self._starts[following]):
            following = self._run_ends[following]
        return tuple(heading.title for heading in self._paths[following] if heading.title)

    def _is_blank(self, start: int, end: int) -> bool:
        return _NOT_SPACE.search(self._text, start, end) is None


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser
