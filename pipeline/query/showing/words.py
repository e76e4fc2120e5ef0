"""Where a query's words stand in a text, as the lexical leg sees words: by stems, Korean without its particles.

A word is what the BM25 analyser takes for one: letters, marks, numbers and underscores of scripts that write words;
a run of Hangul; of Han and kana, which know no words, each two characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー"

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class WordMatch:
    """A word from character `start` to before `end`, and which of the query's tokens it has."""

    start: int
    end: int
    tokens: frozenset[int]


class QueryWords:
    """The words of one query. Remembers every word that it has looked at, so use one for all hits of a query."""

    def __init__(self, query_tokens: Mapping[int, str], describe: Callable[[str], Mapping[int, str]]) -> None:
        """`describe`: a word's tokens as the lexical leg sees them."""
        self._wanted, self._describe = frozenset(query_tokens), describe
        self._known: dict[str, frozenset[int]] = {}

    def matches(self, text: str) -> list[WordMatch]:
        """The words that match, in order. Those of Han and kana may overlap."""
        if not self._wanted:
            return []
        return [
            WordMatch(start, end, tokens)
            for start, end in word_spans(text)
            if (tokens := self._tokens(text[start:end]))
        ]

    def _tokens(self, word: str) -> frozenset[int]:
        found = self._known.get(word)
        if found is None:
            found = self._known[word] = self._wanted.intersection(self._describe(word))
        return found


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """First character of each word, and the one after the last."""
    if text.isascii():
        yield from (match.span() for match in _ASCII_WORD.finditer(text))
        return
    for match in _runs().finditer(text):
        start, end = match.span()
        if match["unspaced"] is None or end - start < 3:
            yield start, end
        else:
            yield from ((place, place + 2) for place in range(start, end - 1))


def joined(matches: list[WordMatch]) -> Spans:
    """Their places, those that overlap as one."""
    spans: list[tuple[int, int]] = []
    for match in matches:
        if spans and match.start < spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], match.end)
        else:
            spans.append((match.start, match.end))
    return tuple(spans)


@cache
def _runs() -> Any:
    import regex  # for text that is not ASCII: the standard library's `re` knows neither scripts nor marks

    others = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--[{_UNSPACED}\p{{Hangul}}]]+"
    return regex.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|\p{{Hangul}}+|{others}", regex.V1)
