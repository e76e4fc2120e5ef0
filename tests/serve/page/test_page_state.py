"""An address says the whole search, and says it again in every link."""

from __future__ import annotations

from dataclasses import fields
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from pipeline.serve.page.state import Choice, PageState
from pipeline.serve.page.words import ENGLISH, KOREAN, words_for
from pipeline.serve.problems import Problem

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SHORT = TEXT.map(str.strip)
CHOICES = st.lists(st.builds(Choice, TEXT.filter(bool), TEXT.filter(bool)), max_size=4, unique=True).map(tuple)
NAMES = st.one_of(st.none(), TEXT.filter(bool))
STATES = st.builds(
    PageState, q=SHORT, index=NAMES, mode=NAMES, filter=SHORT, k=SHORT, collapse=st.booleans(),
    explain=st.booleans(), like=TEXT, lang=NAMES, choices=CHOICES,
)  # fmt: skip


@given(STATES)
def test_an_address_is_read_as_it_was_written(state: PageState) -> None:
    path, _, query = state.address("/").partition("?")
    assert path == "/"
    assert PageState.of(QueryParams(query)) == state


@given(STATES, st.builds(Choice, TEXT.filter(bool), TEXT.filter(bool)))
def test_a_value_that_was_chosen_can_be_let_go(state: PageState, choice: Choice) -> None:
    chosen = PageState.of(QueryParams(state.with_choice(choice).partition("?")[2]))
    assert choice in chosen.choices
    assert chosen.k == ""
    freed = PageState.of(QueryParams(chosen.without_choice(choice).partition("?")[2]))
    assert set(freed.choices) == set(state.choices) - {choice}


def test_other_pages_keep_index_and_language_alone() -> None:
    state = PageState(q="words", index="one", lang="ko", filter="a = 1", choices=(Choice("b", "c"),))
    assert dict(parse_qsl(state.elsewhere("/document", id="a/b?c").partition("?")[2])) == {
        "id": "a/b?c", "index": "one", "lang": "ko",
    }  # fmt: skip
    assert PageState().elsewhere("/builds") == "/builds"


@pytest.mark.parametrize("k", ["x", "-1", "1.5", "٣", "1e3", " "])
def test_k_is_a_whole_number(k: str) -> None:
    with pytest.raises(Problem):
        _ = PageState(k=k).hits_wanted


def test_both_languages_say_everything_with_the_same_blanks() -> None:
    for field in fields(ENGLISH):
        english, korean = getattr(ENGLISH, field.name), getattr(KOREAN, field.name)
        if isinstance(english, dict):
            assert english.keys() == korean.keys()
            continue
        assert english
        assert korean
        if field.name not in ("date", "filter_example"):
            for one in english.split("|"):
                assert one.count("{}") in (korean.count("{}"), 0), field.name
    assert ENGLISH.count(ENGLISH.documents, 1) == "1 document"
    assert ENGLISH.count(ENGLISH.documents, 2000) == "2,000 documents"
    assert KOREAN.count(KOREAN.documents, 1) == "문서 1개"
    assert ENGLISH.day(2026, 3, 5) == "5 March 2026"
    assert KOREAN.day(2026, 3, 5) == "2026년 3월 5일"


@given(st.text(max_size=60))
def test_any_header_gives_a_language(accepted: str) -> None:
    assert words_for(None, accepted) in (ENGLISH, KOREAN)
