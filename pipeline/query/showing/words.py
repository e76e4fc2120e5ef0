"""Where a query's words stand in a text, as the lexical leg sees words: by stems, Korean without its particles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.index.words.spans import word_spans

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


def joined(matches: list[WordMatch]) -> Spans:
    """Their places, those that overlap as one."""
    spans: list[tuple[int, int]] = []
    for match in matches:
        if spans and match.start < spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], match.end)
        else:
            spans.append((match.start, match.end))
    return tuple(spans)
