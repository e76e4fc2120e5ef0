"""Words that are near by the table of all letters are found by that of few, for all words at once."""

from __future__ import annotations

import unicodedata

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.index.words.nearness import decomposed, letters_of, may_be_within, signatures, within

LETTERS = st.text("abcgéя각갂", min_size=0, max_size=8).map(decomposed)
SLIPS = st.integers(0, 3)


def slips_between(one: str, other: str) -> int:
    """Optimal string alignment as it is defined: the whole table, a cell at a time."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i, x in enumerate(one, 1):
        for j, y in enumerate(other, 1):
            ways = [table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (x != y)]
            if i > 1 and j > 1 and (x, y) == (other[j - 2], one[i - 2]):
                ways.append(table[i - 2, j - 2] + 1)
            table[i, j] = min(ways)
    return table[len(one), len(other)]


def marks_of(words: list[str]) -> list[np.uint64]:
    return [signatures(letters_of([word]))[0] for word in words]


@given(LETTERS, st.lists(LETTERS, max_size=8), SLIPS)
def test_those_within_some_slips_are_those_of_the_whole_table(word: str, others: list[str], slips: int) -> None:
    found = within(word, others, slips).tolist()
    assert found == [slips_between(word, other) <= slips for other in others]


@given(LETTERS, st.lists(LETTERS, min_size=1, max_size=8), SLIPS)
def test_signatures_lose_no_near_word(word: str, others: list[str], slips: int) -> None:
    kept = may_be_within(marks_of([word])[0], np.array(marks_of(others), np.uint64), slips)
    for other, may_be in zip(others, kept.tolist(), strict=True):
        assert may_be or slips_between(word, other) > slips


def test_signatures_leave_out_words_of_other_letters() -> None:
    (word, *others) = marks_of(["generation", "generations", "genetation", "quicklime", "genera"])
    assert may_be_within(word, np.array(others, np.uint64), 2).tolist() == [True, True, False, False]


def test_signatures_of_many_words_are_those_of_each() -> None:
    words = ["banana", "ananas", "zygote", "яблоко"]
    assert signatures(letters_of(words)).tolist() == marks_of(words)


def test_letters_are_those_of_the_decomposition() -> None:
    assert decomposed("é각") == unicodedata.normalize("NFD", "é각") != "é각"
    assert within(decomposed("cafe"), [decomposed("café"), decomposed("çafé")], 1).tolist() == [True, False]
