"""Snippets: the part of a hit's text where the query's words stand, and where those words are."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A stretch of a text with white space folded. `marks`: (start, end) of matched words in `text`, ascending.

    `cut_before` and `cut_after` say whether the text goes on there.
    """

    text: str
    marks: tuple[tuple[int, int], ...]
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


def snippet(
    text: str, query_tokens: Mapping[int, str], describe: Callable[[str], Mapping[int, str]], width: int = 240
) -> Snippet:
    """The window of about `width` characters with the most different matched tokens; the first of equals.

    `describe` gives a word's tokens as the lexical leg sees them, so that stems and bigrams match as they do there.
    """
    folded = " ".join(text.split())
    wanted = set(query_tokens)
    memory: dict[str, frozenset[int]] = {}
    words: list[tuple[int, int, frozenset[int]]] = []
    for match in _WORD.finditer(folded):
        word = match.group()
        if word not in memory:
            memory[word] = frozenset(describe(word).keys() & wanted)
        if memory[word]:
            words.append((match.start(), match.end(), memory[word]))
    start = _best_start(words, width) if len(folded) > width else 0
    if start:
        # Begin at a word, a little before the first match.
        start = max(0, start - width // 8)
        start = folded.rfind(" ", 0, start) + 1 if folded.rfind(" ", max(0, start - 40), start) >= 0 else start
    end = len(folded)
    if end - start > width:
        cut = folded.rfind(" ", start + width // 2, start + width)
        end = cut if cut > 0 else start + width
    marks = tuple((a - start, b - start) for a, b, _ in words if a >= start and b <= end)
    return Snippet(folded[start:end], marks, start > 0, end < len(folded))


def _best_start(words: list[tuple[int, int, frozenset[int]]], width: int) -> int:
    best, best_count = 0, 0
    starts = [word[0] for word in words]
    for i, (start, _, _) in enumerate(words):
        inside = words[i : bisect.bisect_left(starts, start + width * 7 // 8)]
        count = len(frozenset().union(*(tokens for _, _, tokens in inside)))
        if count > best_count:
            best, best_count = start, count
    return best
