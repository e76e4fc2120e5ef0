"""Where the words of a text stand.

A word is what the BM25 analyser takes for one: letters, marks, numbers and underscores of scripts that write words;
a run of Hangul; of Han and kana, which know no words, each two characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー"
_OTHERS = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--[{_UNSPACED}\p{{Hangul}}]]+"


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


def spelled_words(texts: Iterable[str]) -> set[str]:
    """The distinct words of some texts, case folded, but for those of Hangul, Han and kana."""
    plain: list[str] = []
    others: list[str] = []
    for text in texts:
        (plain if text.isascii() else others).append(text)
    found = set(_ASCII_WORD.findall("\n".join(plain).lower()))
    if others:
        found.update(word.casefold() for word in set(_spelled().findall("\n".join(others))))
    return found


@cache
def _runs() -> Any:
    return _regex(rf"(?P<unspaced>[{_UNSPACED}]+)|\p{{Hangul}}+|{_OTHERS}")


@cache
def _spelled() -> Any:
    return _regex(_OTHERS)


def _regex(pattern: str) -> Any:
    import regex  # for text that is not ASCII: the standard library's `re` knows neither scripts nor marks

    return regex.compile(pattern, regex.V1)
