"""What is shown of a passage of code: some of its lines as they stand, not folded into one."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from pipeline.names import LINES
from pipeline.query.showing.snippet import Snippet
from pipeline.query.showing.words import QueryWords, WordMatch, joined
from pipeline.records import Metadata

MOST_LINES = 6
LONGEST = 160
"""Characters of a line that are shown."""
_FENCE = re.compile(r"(`{3,}|~{3,})(\w*)")
_LINE = re.compile(r"^.*$", re.MULTILINE)
_HEADING = re.compile(r"#{1,6} ")


def is_code(text: str, metadata: Metadata) -> bool:
    """Whether a passage is of a file of code, or nothing but code in fences below headings."""
    if LINES[0] in metadata:
        return True
    if not text.startswith(("```", "~~~", "#")):
        return False
    within = set(_code(text))
    lines = [line for line in _LINE.finditer(text) if line[0].strip() and line.span() not in within]
    outside = [line[0] for line in lines if not _FENCE.fullmatch(line[0])]
    return len(outside) < len(lines) and all(map(_HEADING.match, outside))


def code_snippets(texts: Sequence[str], words: QueryWords, most: int = MOST_LINES) -> list[Snippet]:
    """The `code_snippet` of each text."""
    return [code_snippet(text, matches, most) for text, matches in zip(texts, words.matches(texts), strict=True)]


def code_snippet(text: str, matches: Sequence[WordMatch], most: int = MOST_LINES) -> Snippet:
    """The `most` lines in a row with the most different matched tokens; the first of equals.

    The text is Markdown whose fences hold the code, or begins or ends within one. Lines outside of fences, which
    repeat signatures, are left out where there is code; so are empty lines at both ends. Lines are whole, so
    nothing is cut before them.
    """
    lines = list(_code(text)) or [(match.start(), match.end()) for match in re.finditer(r".+", text)]
    found = _tokens(lines, matches)
    worth = [len(set().union(*found[begin : begin + most])) for begin in range(max(1, len(lines) - most + 1))]
    best = worth.index(max(worth))
    window = lines[best : best + most]
    while len(window) > 1 and not text[slice(*window[0])].strip():
        del window[0]
    shown, marks, length = [], [], 0
    for start, end in window:
        cut = min(end, start + LONGEST)
        marks += [
            WordMatch(match.start - start + length, match.end - start + length, match.tokens)
            for match in matches
            if start <= match.start and match.end <= cut
        ]
        shown.append(text[start:cut] + ("…" if cut < end else ""))
        length += len(shown[-1]) + 1
    return Snippet("\n".join(shown).rstrip(), joined(marks), False, best + most < len(lines))


def _tokens(lines: Sequence[tuple[int, int]], matches: Sequence[WordMatch]) -> list[set[int]]:
    """Of each line the tokens that match in it."""
    found: list[set[int]] = [set() for _ in lines]
    for match in matches:
        place = bisect_right(lines, match.start, key=lambda line: line[0]) - 1
        if place >= 0 and match.end <= lines[place][1]:
            found[place] |= match.tokens
    return found


def _code(text: str) -> Iterator[tuple[int, int]]:
    """Where the lines within fences begin and end. A text whose first fence names no language begins within one."""
    first = next((match for line in _LINE.finditer(text) if (match := _FENCE.fullmatch(line[0]))), None)
    within = first is None or not first[2]
    for line in _LINE.finditer(text):
        if _FENCE.fullmatch(line[0]):
            within = not within
        elif within:
            yield line.span()
