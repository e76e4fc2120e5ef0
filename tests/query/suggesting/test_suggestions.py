"""Did you mean: what is near, and what the index holds."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline
from pipeline.query.searcher import Index
from pipeline.query.suggesting.edits import distance, further_edits, letter_edits, syllable_edits
from pipeline.records import Suggestion
from tests.support.collection import TEXTS, config_for, write_documents

WORDS = st.text("abcxyz", min_size=1, max_size=6)
SYLLABLES = st.text("가각갈검색섹한국", min_size=1, max_size=4)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("suggestions")
    more = {
        "ko/search.md": "검색은 데이터베이스를 읽는다.",
        "ru.md": "быстрая лиса",
        "en/x.md": "Generation, generations.",
    }
    write_documents(folder / "documents", {**TEXTS, **more})
    config = config_for(folder, encoder={"model": "none"})
    pipeline.build(config)
    with pipeline.open_index(config.index_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("query", "near"),
    [
        ("fuson of ranks", {"fuson": "fusion"}),
        ("reciprocl rnak", {"reciprocl": "reciprocal", "rnak": "rank"}),
        ("saturatoin", {}),  # the stem of saturation is held, but no word nearer than saturates
        ("genaratoin", {"genaratoin": "generation"}),
        ("검섹", {"검섹": "검색"}),
        ("데이터배이스", {"데이터배이스": "데이터베이스"}),
        ("быстрвя", {"быстрвя": "быстрая"}),
        ("fusion of ranks", {}),
        ("검색을", {}),
        ("zzzzzz 2024 x1", {}),
        ("", {}),
    ],
)
def test_the_nearest_word_that_the_index_holds_is_suggested(index: Index, query: str, near: dict[str, str]) -> None:
    found = index.suggestions(query)
    assert {one.word: one.near[0] for one in found} == near
    for one in found:
        assert query[one.start : one.end] == one.word


def test_a_suggestion_changes_no_search(index: Index) -> None:
    before = index.search("fuson", 3, mode="lexical")
    assert index.suggestions("fuson") == [Suggestion("fuson", 0, 5, ("fusion",))]
    assert index.search("fuson", 3, mode="lexical") == before == []


def test_what_is_not_seen_is_not_suggested(tmp_path: Path) -> None:
    write_documents(
        tmp_path / "documents",
        {"a.md": "---\nreaders: [staff]\n---\nThe zebra.", "b.md": "---\nreaders: [all]\n---\nThe horse."},
    )
    config = config_for(tmp_path, encoder={"model": "none"}, access_field="readers")
    pipeline.build(config)
    with pipeline.open_index(config.index_path, groups=["all"]) as some:
        assert some.suggestions("zebrq") == []
        assert some.suggestions("horsf") == [Suggestion("horsf", 0, 5, ("horse",))]
    with pipeline.open_index(config.index_path, groups=["staff"]) as staff:
        assert staff.suggestions("zebrq") == [Suggestion("zebrq", 0, 5, ("zebra",))]


@given(WORDS, WORDS)
def test_distance_is_symmetric_and_zero_for_the_same(one: str, other: str) -> None:
    assert distance(one, other) == distance(other, one) <= max(len(one), len(other))
    assert (distance(one, other) == 0) == (one == other)


@given(WORDS)
def test_letter_edits_are_those_at_one_slip(word: str) -> None:
    found = letter_edits(word)
    assert all(distance(word, edit) == 1 for edit in found)
    assert word not in found
    assert {word + "a", "z" + word} - {word} <= found


@given(st.text("abcñ", min_size=1, max_size=5))
def test_further_edits_are_those_of_all_pairs_of_slips(word: str) -> None:
    """Each slip of each slip, in the letters of the word, written as plainly as can be."""
    letters = {*word, *("abcdefghijklmnopqrstuvwxyz" if {*word} & {*"abc"} else "")}

    def slips(text: str) -> set[str]:
        cuts = [(text[:place], text[place:]) for place in range(len(text) + 1)]
        return {
            *(before + letter + after for before, after in cuts for letter in letters),
            *(before + letter + after[1:] for before, after in cuts if after for letter in letters),
            *(before + after[1:] for before, after in cuts if after),
            *(before + after[1] + after[0] + after[2:] for before, after in cuts if len(after) > 1),
        }

    once = slips(word)
    assert letter_edits(word) == once - {word, ""}
    assert further_edits(word) == set().union(*map(slips, once)) - {word, ""}


@given(SYLLABLES)
def test_syllables_change_by_one_letter_or_as_a_whole(word: str) -> None:
    for edit in syllable_edits(word):
        assert unicodedata.is_normalized("NFC", edit)
        if len(edit) == len(word) and sum(a != b for a, b in zip(edit, word, strict=True)) == 1:
            assert distance(word, edit) == 1


def test_distances_by_hand() -> None:
    assert distance("검섹", "검색") == 1
    assert distance("값", "갑") == 1
    assert distance("teh", "the") == 1
    assert distance("kitten", "sitting") == 3
