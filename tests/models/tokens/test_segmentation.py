"""Words cut into pieces: by hand, and against all ways there are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.models.tokens import segmentation
from pipeline.models.tokens.segmentation import Pieces, Remembered, UnigramSegmentation, WordPieceSegmentation
from pipeline.models.tokens.trie import Trie, write_trie

UNK = 99
SCORES = st.integers(-40, 0).map(float)  # sums of whole numbers are exact, so that ties are ties


def unigram(scores: dict[str, float]) -> UnigramSegmentation:
    with tempfile.TemporaryDirectory() as name:
        nodes, count = write_trie(list(scores), np.arange(len(scores)), Path(name))
        trie = Trie(Path(name))
    by_node = [0.0] * count
    for node, score in zip(nodes.tolist(), scores.values(), strict=True):
        by_node[node] = score
    return UnigramSegmentation(trie, by_node, UNK, min(scores.values()) - 10)


def wordpiece(pieces: list[str], longest: int = 20) -> WordPieceSegmentation:
    with tempfile.TemporaryDirectory() as name:
        write_trie(pieces, np.arange(len(pieces)), Path(name))
        trie = Trie(Path(name))
    return WordPieceSegmentation(trie, trie.walk("##"), UNK, longest)


def ways(word: str, scores: dict[str, float]) -> Iterator[list[str]]:
    """All ways to cut a word into pieces, and into single characters where no piece is one."""
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        if word[:end] in scores or (end == 1 and word[0] not in scores):
            for rest in ways(word[end:], scores):
                yield [word[:end], *rest]


def test_the_best_sum_wins_by_hand() -> None:
    cut = unigram({"a": -2.0, "b": -2.0, "ab": -3.0, "abc": -9.0})
    assert cut("ab") == Pieces((2,), (2,))
    assert cut("aab") == Pieces((0, 2), (1, 2))
    assert cut("abc") == Pieces((3,), (3,))  # -9 beats ab and an unknown c: -3 - 19
    assert cut("axxxb") == Pieces((0, UNK, 1), (1, 3, 1))  # what is unknown is one token, however long
    assert cut("") == Pieces((), ())


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), SCORES, min_size=1), st.text("abcd", max_size=8))
@example({"a": -1.0, "aa": -2.0}, "aaa")
def test_no_other_way_is_likelier(scores: dict[str, float], word: str) -> None:
    cut = unigram(scores)
    found = cut(word)
    assert sum(found.lengths) == len(word)
    names, place, parts = list(scores), 0, []
    for token_id, length in zip(*found, strict=True):
        part = word[place : place + length]
        assert token_id == UNK or names[token_id] == part
        parts.append(sum([cut.unk_score] * length) if token_id == UNK else scores[part])
        place += length
    assert sum(parts) == max(sum(scores.get(part, cut.unk_score) for part in way) for way in ways(word, scores))


def test_the_longest_piece_comes_first_by_hand() -> None:
    cut = wordpiece(["a", "ab", "##b", "##bc", "##c", "b"])
    assert cut("abc") == Pieces((1, 4), (2, 1))  # not a + ##bc
    assert cut("abb") == Pieces((1, 2), (2, 1))
    assert cut("abx") == Pieces((UNK,), (3,))  # unknown as a whole
    assert cut("c") == Pieces((UNK,), (1,))
    assert cut("") == Pieces((), ())
    assert wordpiece(["a", "##a"], 3)("aaaa") == Pieces((UNK,), (4,))
    assert wordpiece(["a", "b"])("ab") == Pieces((UNK,), (2,))  # no piece is for the inside of a word


@given(st.lists(st.text("abc#", min_size=1, max_size=4), min_size=1, unique=True), st.text("abc#", max_size=8))
def test_wordpiece_is_greedy(pieces: list[str], word: str) -> None:
    expected: list[int] | None = []
    start = 0
    while expected is not None and start < len(word):
        mark = "##" if start else ""
        ends = [end for end in range(start + 1, len(word) + 1) if mark + word[start:end] in pieces]
        if ends:
            expected.append(pieces.index(mark + word[start : ends[-1]]))
            start = ends[-1]
        else:
            expected = None
    assert list(wordpiece(pieces)(word).ids) == ([UNK] if expected is None else expected)


def test_short_words_are_cut_once() -> None:
    asked: list[str] = []

    def segment(word: str) -> Pieces:
        asked.append(word)
        return Pieces((len(word),), (len(word),))

    remembered = Remembered(segment)
    for word in ("ab", "ab", "x" * 50, "x" * 50):
        assert remembered(word).ids == (len(word),)
    assert asked == ["ab", "x" * 50, "x" * 50]


def test_words_in_use_are_kept_when_others_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def segment(word: str) -> Pieces:
        asked.append(word)
        return Pieces((len(word),), (len(word),))

    monkeypatch.setattr(segmentation, "_REMEMBERED_WORDS", 3)
    remembered = Remembered(segment)
    for number in range(20):
        assert [found.ids for found in remembered.each(["often", f"new {number}"])] == [
            (5,),
            (len(f"new {number}"),),
        ]
    assert asked.count("often") == 1
    remembered("new 0")
    assert asked.count("new 0") == 2
