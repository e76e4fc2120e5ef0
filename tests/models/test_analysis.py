"""The analyzer against terms and ids worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Bm25Settings
from pipeline.errors import ConfigError
from pipeline.models.bm25.analyzer import Analyzer, normalize, term_id
from pipeline.models.bm25.encoder import Bm25Encoder


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("  …!? ", []),
        ("Running runs, ran", ["run", "run", "ran"]),
        ("don't", ["don", "t"]),
        ("max_tokens=256", ["max_token", "256"]),
        ("Ｆｕｌｌ　ｗｉｄｔｈ", ["full", "width"]),  # NFKC
        ("ﬁles", ["file"]),  # ligature, then stemming
        ("STRASSE Straße", ["strass", "strass"]),  # casefold
        ("cafe\u0301s", ["café"]),  # a combining accent belongs to its word
        ("검색", ["검색"]),
        ("한국어를 잘", ["한국", "국어", "어를", "잘"]),
        ("LangChain은 3월", ["langchain", "은", "3", "월"]),
        ("東京タワーへ", ["東京", "京タ", "タワ", "ワー", "ーへ"]),
        ("ｺｰﾋｰ", ["コー", "ーヒ", "ヒー"]),  # half-width katakana
        ("中文RAG系统", ["中文", "rag", "系统"]),
        ("東京서울", ["東京", "서울"]),  # Han and Hangul are separate runs
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs are marks, not separators
        ("поиски", ["поиски"]),  # not Latin: not stemmed in English
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert Analyzer().terms(text) == terms


def test_ids_are_the_same_for_ever() -> None:
    # Stored in every index: a change here makes them all unreadable.
    assert term_id("") == 0x2D06800538D394C2  # XXH3's published value for no input
    assert term_id("retriev") == 0x3C422E7FCA4233D
    assert term_id("한국") == 0x5F41EAD429BA5994


def test_no_stemmer_and_another_language() -> None:
    assert Analyzer(None).terms("Running runs") == ["running", "runs"]
    assert Analyzer("german").terms("Häuser") == ["haus"]


def test_an_unknown_stemmer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stemmer='klingon'.*english"):
        Bm25Encoder(Bm25Settings(stemmer="klingon"))


def test_documents_hold_term_frequencies_and_queries_counts() -> None:
    encoder = Bm25Encoder()
    rows = encoder.encode_documents(["index the indexes", "", "검색 검색"]).lexical
    assert rows is not None
    ids, weights = rows.row(0)
    assert dict(zip(ids.tolist(), weights.tolist(), strict=True)) == {term_id("index"): 2.0, term_id("the"): 1.0}
    assert len(rows.row(1)[0]) == 0
    assert rows.row(2)[1].tolist() == [2.0]
    query = encoder.encode_queries(["검색 검색"]).lexical
    assert query is not None
    assert query.weights.tolist() == [2.0]
    assert encoder.describe_tokens("Indexing 검색") == {term_id("index"): "index", term_id("검색"): "검색"}


def test_scoring_constants_are_not_part_of_the_fingerprint() -> None:
    one, other = Bm25Encoder(Bm25Settings(k1=0.9, b=0.4)), Bm25Encoder(Bm25Settings())
    assert one.lexical_fingerprint == other.lexical_fingerprint
    assert (one.lexical_scoring.kind, one.lexical_scoring.k1, one.lexical_scoring.b) == ("bm25", 0.9, 0.4)
    assert other.lexical_fingerprint != Bm25Encoder(Bm25Settings(stemmer=None)).lexical_fingerprint


@given(st.lists(st.text(max_size=60), max_size=5))
def test_rows_are_what_counting_the_terms_gives(texts: list[str]) -> None:
    analyzer = Analyzer()
    rows = analyzer.rows(texts)
    for i, text in enumerate(texts):
        ids, weights = rows.row(i)
        terms = analyzer.terms(text)
        assert ids.tolist() == sorted({term_id(term) for term in terms})
        assert weights.sum() == len(terms)


@given(st.text(max_size=60))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@given(st.text(alphabet="aB1_ -", max_size=40))
def test_ascii_and_unicode_paths_agree(text: str) -> None:
    analyzer = Analyzer()
    assert analyzer.terms(text) == analyzer.terms(text + " é")[:-1]


@pytest.mark.parametrize("stemmer", ["english", None])
def test_a_long_text_is_described_as_its_words_are(stemmer: str | None) -> None:
    analyzer = Analyzer(stemmer)
    words = [
        f"{start}{number}{end}" for start in ("run_", "Cat") for number in range(9000) for end in ("", "ning", "s")
    ]
    described = {}
    for word in words:
        described.update(analyzer.describe(word))
    assert len(" ".join(words)) > 1 << 17
    assert analyzer.describe(" ".join(words)) == described == {term_id(term): term for term in described.values()}
