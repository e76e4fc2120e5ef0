"""Pseudo-queries: questions that a collection asks itself, so that its legs can be judged without labels.

A window of words is cut out of a passage and becomes a query; it should find the passage without the window.
Windows that read like prose are preferred, because people ask in prose also where the passages are code or tables.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np
import xxhash

from pipeline.query.fusion.scripts import dominant_script

LEAST_WORDS, MOST_WORDS = 4, 9
"""Words of a window; a passage with fewer than twice as many gives half of its words."""
WINDOWS_TRIED = 12
"""How many windows of a passage are looked at for the one most like prose."""

SHORT = 3
"""A passage of fewer words than this many windows is short."""

_WORD = re.compile(r"\w+")
_HAN_KANA = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_RUN = re.compile(f"(?P<unspaced>[{_HAN_KANA}]+)|[^{_HAN_KANA}]+")


@dataclass(frozen=True, slots=True)
class PseudoQuery:
    """`text`: the window. `passage`: the passage without it. `script`: of the window.

    `is_short`: the passage had too few words for the rest to be about as much as a passage is.
    """

    text: str
    passage: str
    script: str
    is_short: bool = False


def cut_window(text: str, key: str) -> PseudoQuery | None:
    """The pseudo-query of a passage; `key` seeds the choice. `None` where there are fewer than four words.

    A pair of characters counts as a word in scripts that put no spaces between words.
    """
    words = _words(text)
    generator = np.random.default_rng(seed_of(key))
    size = min(int(generator.integers(LEAST_WORDS, MOST_WORDS + 1)), len(words) // 2)
    if size < 2:
        return None
    starts = generator.permutation(len(words) - size + 1)[:WINDOWS_TRIED]
    # max() keeps the first of equals, so the order of the permutation decides among them
    best = max(starts.tolist(), key=lambda start: _prose(text, words[start : start + size]))
    start, end = words[best][0], words[best + size - 1][1]
    window = text[start:end]
    is_short = len(words) < SHORT * size
    return PseudoQuery(window, f"{text[:start]} {text[end:]}", dominant_script(window), is_short)


def seed_of(key: str) -> int:
    """A seed (64 bits) from a name, the same on every machine."""
    return xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass"))


def _words(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for word in _WORD.finditer(text):
        for run in _RUN.finditer(text, *word.span()):
            start, end = run.span()
            if run["unspaced"]:
                spans += [(at, min(at + 2, end)) for at in range(start, end, 2)]
            else:
                spans.append((start, end))
    return spans


def _prose(text: str, words: list[tuple[int, int]]) -> float:
    """The share of plain words less the share of gaps that are not plain: 1 for words in a row, low for code."""
    plain = sum(_is_plain(text[start:end]) for start, end in words)
    gaps = [text[before[1] : after[0]] for before, after in itertools.pairwise(words)]
    return (plain - sum(gap not in ("", " ", ", ") for gap in gaps)) / len(words)


def _is_plain(word: str) -> bool:
    """Letters only, and not in the mixed case or capitals of an identifier or abbreviation."""
    return word.isalpha() and (not word.isascii() or word.islower() or word.istitle())
