"""Korean stems as BM25 terms: one word in its forms, what particles follow, and what holds for all of Hangul."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.bm25.analyzer import Analyzer
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.bm25.korean_stems import _PARTICLES, korean_stem, korean_terms

SYLLABLES = [chr(code) for code in range(ord("가"), ord("힣") + 1)]
WORDS = st.text(st.sampled_from(SYLLABLES), min_size=1, max_size=8)
NOT_BEHIND_ONE = {"인", "일"}
"""More often the end of a word (확인, 생일) than what stands behind one."""
POLITE = "요"

NOUNS = [
    "문서",
    "검색",
    "색인",
    "서울",
    "컴퓨터",
    "언어",
    "바다",
    "시대",
    "휴지",
    "영화",
    "값",
    "책",
    "물",
    "나",
    "도서관",
]
VERBS = {
    "사용하": "사용하는 사용합니다 사용했습니다 사용하세요 사용하면 사용하여 사용해서 사용했던 사용할 사용한",
    "사용되": "사용되는 사용됩니다 사용되었습니다 사용됐다 사용되면 사용된 사용될 사용되었는가",
    "먹": "먹는 먹습니다 먹었습니다 먹었다 먹으면 먹지만 먹어서 먹는데 먹었고 먹던",
    "지우": "지우는 지웁니다 지웠습니다 지워 지워서 지워야 지울까 지웠던",
    "만들": "만들었습니다 만들었던 만들지만 만들었고 만들면서",
    "알려주": "알려주세요 알려줘 알려줬다 알려주는 알려주면서",
    "정하": "정해서 정해야 정했다 정합니다 정하는",
    "그리": "그려서 그려야 그렸다 그립니다 그리는",
}


@pytest.mark.parametrize(("stem", "form"), [(stem, form) for stem in VERBS for form in VERBS[stem].split()])
def test_the_forms_of_a_verb_have_one_stem(stem: str, form: str) -> None:
    assert korean_stem(form) == stem


@pytest.mark.parametrize("noun", NOUNS)
def test_a_noun_is_found_behind_every_particle_that_can_follow_it(noun: str) -> None:
    alone = set(korean_terms(noun))
    for particle in following(noun) - {POLITE}:
        if len(noun) > 1 or particle not in NOT_BEHIND_ONE:
            assert alone & set(korean_terms(noun + particle)), noun + particle


def test_particles_follow_the_sound_before_them() -> None:
    assert {"을", "은", "이", "과", "으로"} <= following("검색")
    assert {"를", "는", "가", "와", "로"}.isdisjoint(following("검색") - {"는"})
    assert {"를", "는", "가", "와", "로"} <= following("문서")
    assert {"을", "로"} <= following("서울")  # of consonants only ㄹ takes 로
    assert "으로" in following("서울")  # and, written wrongly, this too
    assert korean_stem("가을") == "가을"  # 을 cannot follow a vowel: it is no particle here
    assert korean_stem("마을") == "마을"


@pytest.mark.parametrize(
    "noun", ["정의", "제도", "가을", "순서", "교과서", "문서", "여자", "전기", "화면", "이해", "분야", "확인"]
)
def test_a_noun_that_ends_like_a_particle_or_an_ending_keeps_its_word(noun: str) -> None:
    assert korean_stem(noun) == noun
    assert noun[:2] in korean_terms(noun)


def test_what_can_be_read_in_two_ways_gives_both() -> None:
    assert korean_terms("언어도") == ["언", "언어"]  # 얼다, or a language
    assert korean_terms("값도") == ["값도", "값"]
    assert korean_terms("제도") == ["제도", "제"]
    assert korean_terms("가지요") == ["가"]  # polite forms are verbs …
    assert korean_terms("문서요") == ["문서"]  # … where they can be


def test_terms_are_bigrams_of_the_stem() -> None:
    assert korean_terms("서울대학교에서는") == ["서울", "울대", "대학", "학교"]
    assert korean_terms("문서를") == korean_terms("문서에서만") == ["문서"]


def test_letters_that_are_not_syllables_end_a_word() -> None:
    assert korean_terms("ㅋㅋㅋ") == ["ㅋㅋ", "ㅋㅋ"]
    assert korean_terms("문서를\u119e검색에서") == ["문서", "\u119e", "검색"]
    assert korean_stem("ㅠ") == "ㅠ"
    assert korean_stem("") == ""


def test_every_syllable_is_its_own_term() -> None:
    assert all(korean_terms(syllable) == [syllable] == [korean_stem(syllable)] for syllable in SYLLABLES)


@given(WORDS)
def test_a_stem_is_its_own_stem(word: str) -> None:
    stem = korean_stem(word)
    assert korean_stem(stem) == stem
    assert 1 <= len(stem) <= len(word)
    assert unicodedata.is_normalized("NFC", stem)


@given(WORDS)
def test_a_stem_begins_as_its_word_does(word: str) -> None:
    assert unicodedata.normalize("NFD", korean_stem(word))[0] == unicodedata.normalize("NFD", word)[0]


@given(
    st.text(
        st.characters(min_codepoint=0x1100, max_codepoint=0x11FF) | st.sampled_from("가힣문서를ㅋㅠ"), min_size=1
    )
)
def test_any_run_gives_terms_of_one_or_two_letters(run: str) -> None:
    terms = korean_terms(run)
    assert terms
    assert all(1 <= len(term) <= 2 for term in terms)


@given(st.text(st.sampled_from(SYLLABLES), min_size=2, max_size=6), st.data())
def test_a_word_shares_a_term_with_itself_and_a_particle(word: str, data: st.DataObject) -> None:
    stem = korean_stem(word)
    possible = sorted(following(stem) - {POLITE} - (NOT_BEHIND_ONE if len(stem) == 1 else set()))
    particle = data.draw(st.sampled_from(possible))
    assert set(korean_terms(stem)) & set(korean_terms(stem + particle))


def test_a_passage_and_a_question_meet_in_the_encoder() -> None:
    encoder = Bm25Encoder()
    passage = set(encoder.describe_tokens("색인을 다시 만들었습니다. 이전 세대는 삭제됩니다.").values())
    question = set(encoder.describe_tokens("색인은 언제 만들었나요? 세대가 삭제된 뒤에는?").values())
    assert {"색인", "만들", "세대", "삭제", "제되"} <= passage & question


def test_only_hangul_is_stemmed_so() -> None:
    mixed = "Running 東京タワー поиски 256"
    assert Analyzer(hangul=korean_terms).terms(mixed) == Analyzer().terms(mixed)
    assert Analyzer(hangul=korean_terms).terms("LangChain은 東京에서") == ["langchain", "은", "東京", "에서"]


def following(word: str) -> set[str]:
    """The particles that grammar lets follow a word, by its last consonant."""
    last = (ord(word[-1]) - ord("가")) % 28
    return {particle for particle, finals in _PARTICLES.items() if last in finals}
