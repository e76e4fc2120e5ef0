"""Snippets: the part of a hit's text where the query's words stand, and where those words are."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.query.showing.words import QueryWords, Spans, WordMatch, joined
from pipeline.records import Highlight

WIDTH = 240
"""About how many characters a snippet has."""
_PIECE = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A stretch of a text with white space folded. `marks`: (start, end) of matched words in `text`, ascending.

    `cut_before` and `cut_after` say whether the text goes on there.
    """

    text: str
    marks: Spans
    cut_before: bool
    cut_after: bool

    def marked(self, before: str, after: str) -> str:
        """The text with every matched word between `before` and `after`, and `…` where it was cut."""
        pieces = ["…" if self.cut_before else ""]
        position = 0
        for start, end in self.marks:
            pieces += [self.text[position:start], before, self.text[start:end], after]
            position = end
        return "".join([*pieces, self.text[position:], "…" if self.cut_after else ""])


def highlights(texts: Sequence[str], words: QueryWords) -> list[Highlight]:
    """Where a query's words stand in each text, and in the snippet of it."""
    found = []
    for text, matches in zip(texts, words.matches(texts), strict=True):
        part = _cut(text, matches, WIDTH)
        found.append(Highlight(joined(matches), part.text, part.marks, part.cut_before, part.cut_after))
    return found


def snippets(texts: Sequence[str], words: QueryWords, width: int = WIDTH) -> list[Snippet]:
    """Of each text the window of about `width` characters with the most different matched tokens; the first of
    equals."""
    return [_cut(text, matches, width) for text, matches in zip(texts, words.matches(texts), strict=True)]


def _cut(text: str, matches: Sequence[WordMatch], width: int) -> Snippet:
    folded = " ".join(text.split())
    words = _folded(text, matches)
    start = _best_start(words, width) if len(folded) > width else 0
    if start:
        # Begin at a word, a little before the first match.
        start = max(0, start - width // 8)
        start = folded.rfind(" ", 0, start) + 1 if folded.rfind(" ", max(0, start - 40), start) >= 0 else start
    end = len(folded)
    if end - start > width:
        cut = folded.rfind(" ", start + width // 2, start + width)
        end = cut if cut > 0 else start + width
    inside = [
        WordMatch(word.start - start, word.end - start, word.tokens)
        for word in words
        if word.start >= start and word.end <= end
    ]
    return Snippet(folded[start:end], joined(inside), start > 0, end < len(folded))


def _folded(text: str, matches: Sequence[WordMatch]) -> list[WordMatch]:
    """The matches where they are once white space is folded, which no word has in it."""
    found, length = [], 0
    pieces = _PIECE.finditer(text)
    begin = end = 0
    for match in matches:
        while match.end > end:
            length += end - begin + (1 if end else 0)
            begin, end = next(pieces).span()
        shift = length - begin
        found.append(WordMatch(match.start + shift, match.end + shift, match.tokens))
    return found


def _best_start(words: Sequence[WordMatch], width: int) -> int:
    best, best_count = 0, 0
    starts = [word.start for word in words]
    for i, start in enumerate(starts):
        inside = words[i : bisect.bisect_left(starts, start + width * 7 // 8)]
        count = len(frozenset().union(*(word.tokens for word in inside)))
        if count > best_count:
            best, best_count = start, count
    return best
