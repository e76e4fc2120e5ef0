"""Where a query's words stand in a text, as the lexical leg sees words: by stems, Korean without its particles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.index.words.spans import word_spans

Spans = tuple[tuple[int, int], ...]
Describe = Callable[[Sequence[str]], Sequence[Mapping[int, str]]]
"""The tokens of each of some texts, as the lexical leg sees them."""


@dataclass(frozen=True, slots=True)
class WordMatch:
    """A word from character `start` to before `end`, and which of the query's tokens it has."""

    start: int
    end: int
    tokens: frozenset[int]


class QueryWords:
    """The words of one query. Remembers every word that it has looked at, so use one for all hits of a query."""

    def __init__(self, query_tokens: Mapping[int, str], describe: Describe) -> None:
        """`describe` is asked once for all words that are new in the texts of a call, as it may take a request."""
        self._wanted, self._describe = frozenset(query_tokens), describe
        self._known: dict[str, frozenset[int]] = {}

    def matches(self, texts: Sequence[str]) -> list[list[WordMatch]]:
        """For each text the words that match, in order. Those of Han and kana may overlap."""
        if not self._wanted:
            return [[] for _ in texts]
        spans = [list(word_spans(text)) for text in texts]
        self._learn([text[a:b] for text, places in zip(texts, spans, strict=True) for a, b in places])
        return [
            [WordMatch(a, b, tokens) for a, b in places if (tokens := self._known[text[a:b]])]
            for text, places in zip(texts, spans, strict=True)
        ]

    def _learn(self, words: Sequence[str]) -> None:
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        if new:
            for word, tokens in zip(new, self._describe(new), strict=True):
                self._known[word] = self._wanted.intersection(tokens)


def joined(matches: list[WordMatch]) -> Spans:
    """Their places, those that overlap as one."""
    spans: list[tuple[int, int]] = []
    for match in matches:
        if spans and match.start < spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], match.end)
        else:
            spans.append((match.start, match.end))
    return tuple(spans)
