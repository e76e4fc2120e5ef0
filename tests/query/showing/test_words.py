"""Where a query's words stand, by hand and against the analyser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Bm25Settings
from pipeline.index.words.spans import word_spans
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.contract import described_queries
from pipeline.query.showing.snippet import highlights, snippets
from pipeline.query.showing.words import QueryWords, joined

ENCODER = Bm25Encoder(Bm25Settings())
TEXTS = st.text(st.sampled_from("aB1_ é\u0301 .\n\t가나다는을 東京都ーカ ﬁ𝒜😀हिन्दी"), max_size=80)


def words_of(query: str, encoder: Bm25Encoder = ENCODER) -> QueryWords:
    return QueryWords(encoder.describe_tokens(query), partial(described_queries, encoder))


def found(text: str, query: str) -> list[str]:
    (shown,) = highlights([text], words_of(query))
    return [text[start:end] for start, end in shown.spans]


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("Rolled back builds, rolling on.", "roll", ["Rolled", "rolling"]),
        ("검색은 BM25는 빠르다. 검색을 한다", "검색", ["검색은", "검색을"]),
        ("BM25는 빠르다", "bm25", ["BM25"]),
        ("東京都に住む", "京都", ["京都"]),
        ("東京都に住む", "東京都", ["東京都"]),
        ("हिन्दी में", "हिन्दी", ["हिन्दी"]),
        ("Caf\u00e9, cafe\u0301!", "café", ["Caf\u00e9", "cafe\u0301"]),
        ("😀 plums 😀", "plums", ["plums"]),
        ("plums", "the figs", []),
        ("", "figs", []),
    ],
)
def test_words_are_found_as_the_lexical_leg_finds_them(text: str, query: str, expected: list[str]) -> None:
    assert found(text, query) == expected


def test_without_stems_only_the_word_itself_is_found() -> None:
    plain = Bm25Encoder(Bm25Settings(languages=[], korean="bigrams"))
    (matches,) = words_of("roll", plain).matches(["roll rolling rolled"])
    assert joined(matches) == ((0, 4),)


def test_spans_are_of_the_text_and_marks_of_the_snippet() -> None:
    (shown,) = highlights(["x  \n plums\tand\n\nfigs"], words_of("figs plums"))
    assert shown.spans == ((5, 10), (16, 20))
    assert (shown.text, shown.marks) == ("x plums and figs", ((2, 7), (12, 16)))


@given(TEXTS, TEXTS)
def test_every_span_shares_a_term_and_nothing_that_matches_is_left_out(text: str, query: str) -> None:
    words = words_of(query)
    wanted = set(ENCODER.describe_tokens(query))
    (matches,) = words.matches([text])
    spans = joined(matches)
    places = [place for span in spans for place in span]
    assert places == sorted(places)
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        assert wanted & ENCODER.describe_tokens(text[start:end]).keys()
    inside = {place for start, end in spans for place in range(start, end)}
    for start, end in word_spans(text):
        if wanted & ENCODER.describe_tokens(text[start:end]).keys():
            assert inside.issuperset(range(start, end))


@given(st.lists(TEXTS, max_size=4), TEXTS)
def test_several_texts_match_as_each_does_alone_and_no_word_is_asked_about_twice(
    texts: list[str], query: str
) -> None:
    asked: list[list[str]] = []

    def describe(words: Sequence[str]) -> Sequence[Mapping[int, str]]:
        asked.append(list(words))
        return described_queries(ENCODER, words)

    words = QueryWords(ENCODER.describe_tokens(query), describe)
    alone = [words_of(query).matches([text])[0] for text in texts]
    assert words.matches(texts) == alone
    assert words.matches(texts) == alone
    assert len(asked) <= 1
    assert all(len(set(some)) == len(some) for some in asked)


@given(
    st.lists(st.sampled_from(["plums", "figs", "가나다는", "東京都", "x"]), max_size=60), st.sampled_from(" \n\t")
)
def test_marks_show_the_words_that_spans_do(pieces: list[str], blank: str) -> None:
    text = (blank * 2).join(pieces)
    words = words_of("plum 가나다 京都")
    (shown,) = highlights([text], words)
    assert {shown.text[a:b] for a, b in shown.marks} <= {text[a:b] for a, b in shown.spans}
    if not shown.cut_before and not shown.cut_after:
        assert len(shown.marks) == len(shown.spans)
    (part,) = snippets([text], words)
    assert (part.text, part.marks) == (shown.text, shown.marks)
