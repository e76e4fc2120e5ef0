"""Korean words → terms, by rules of grammar: particles (josa) and endings (eomi) are taken off, nothing is
looked up.

A word is read from its end. A particle fits by the sound before it: 을 follows a consonant, 를 a vowel, 로 a vowel
or ㄹ. An ending that many nouns have too (고, 지, 기, …) counts only where a verb is sure: behind a past tense, or
behind 하, 되 and 시키. What an ending has run into is undone (지워 → 지우, 했 → 하). The longest that fits goes,
until nothing fits, so a stem is its own stem.

There is no dictionary: some nouns lose a syllable (바나나 → 바나), in a passage as in a question, and irregular
verbs have several stems (더웠다 → 더우, 덥습니다 → 덥). A short word that can be read in two ways gives terms for
both.
"""

from __future__ import annotations

import re
import unicodedata

STEMS_VERSION = "stems 1"

_AFTER_CONSONANT = """
이 을 은 과 으로 으로서 으로써 으로부터 이랑 이나 이라도 이든 이든지 이야 이여
이라는 이란 이라고 이라면 이라서 이며 이고 이지만 이므로 이어서 이면 이면서 이니까 이었다 이었던 이었고 이었나
"""
_AFTER_VOWEL = "가 를 는 와 랑 나 라도 든지 라는 란 라고 라면 라서 였다 였던 였고 였나"
_AFTER_VOWEL_OR_RIEUL = "로 로서 로써 로부터"
_AFTER_ANY = """
의 에 에서 에게 에게서 께 께서 한테 한테서 에다 에다가 도 만 까지 부터 조차 마저 밖에 뿐 보다 처럼 같이 만큼 대로
마다 하고 들 요 이다 이던 입니다 입니까 이에요 예요 이죠 인 일 인데 인가 인가요 인지
"""
_LEAVES_ONE_SYLLABLE = frozenset("을를은는이에")
"""Particles of one syllable that go behind one syllable, too (값을). In others, more nouns end: 정의, 제도."""
_MAY_LEAVE_ONE = frozenset("가과와나랑도만의께뿐들로란")
"""Behind one syllable these may be a particle (값도) or not (제도): the word stays, and the syllable is added."""
_POLITE = "요"
"""A particle that ends sentences: what stands before it is hardly ever a noun (가지요)."""

_ENDINGS = """
ㅂ니다 습니다 ㅂ니까 습니까 ㅂ시다 읍시다 십시오 으십시오 세요 으세요 셔요 아요 어요 여요 지요 죠 네요 군요 나요
ㄴ다 는다 ㄴ다고 는다고 다고 자고 냐고 ㄴ다는 는다는 다는 ㄴ다면 는다면 다면 다네 답니다 구나 는구나 느냐 더니 더라
는데 ㄴ데 은데 는데요 ㄴ데요 지만 면서 으면서 으며 으면 니까 으니까 려고 으려고 려면 으려면 으러 려는 으려는 도록
거나 다가 자마자 거든 거든요 아서 어서 여서 아도 어도 여도 아야 어야 여야 아라 어라 여라 는 던 으신 으실 으시는
ㄹ수록 을수록 ㄹ까 을까 ㄹ까요 을까요 ㄹ게 을게 ㄹ게요 을게요 ㄹ래 을래 ㄹ래요 ㄹ텐데 을텐데 ㄹ때 을때
ㄹ지 을지 는지 ㄴ지 은지 ㄴ가 는가 은가 ㄴ가요 는가요 은가요 ㄹ거 을거 ㄴ거 은거 는거
"""
_ENDINGS_OF_SURE_VERBS = "다 고 며 면 지 기 게 네 니 냐 나 자 라 러 오 소 군 도 은 을 ㄴ ㄹ ㅁ 음 아 어 여 요"
"""A letter that stands first closes the syllable before it: ㅂ니다 is that of 합니다."""

_ENDINGS_OF_CONTRACTED = "서 선 야 라"
"""Behind a vowel that 아 or 어 has run into: 정해서, 배워야."""

_FIRST, _LAST, _FINALS, _RIEUL = "가", "힣", 28, 8
_PIECES = re.compile(f"[{_FIRST}-{_LAST}]+|[^{_FIRST}-{_LAST}]+")
_FINAL_LETTERS = {"ㄴ": "\u11ab", "ㄹ": "\u11af", "ㅁ": "\u11b7", "ㅂ": "\u11b8"}
_SILENT, _FINAL_SS = "\u110b", "\u11bb"
_O, _U, _I, _OE = "\u1169", "\u116e", "\u1175", "\u116c"
_WA, _WO, _YEO, _WAE, _AE = "\u116a", "\u116f", "\u1167", "\u116b", "\u1162"
_VOWEL_BEFORE_EO = {_WO: _U, _YEO: _I, _WA: _O, _WAE: _OE}
"""The vowel of a stem that 아 or 어 has run into: 지우어 → 지워, 그리어 → 그려, 보아 → 봐, 되어 → 돼."""


def _jamo(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def _endings(text: str) -> list[str]:
    return [
        _FINAL_LETTERS[word[0]] + _jamo(word[1:]) if word[0] in _FINAL_LETTERS else _jamo(word)
        for word in text.split()
    ]


_PARTICLES = {
    particle: frozenset(finals)
    for words, finals in (
        (_AFTER_CONSONANT, range(1, _FINALS)),
        (_AFTER_VOWEL, [0]),
        (_AFTER_VOWEL_OR_RIEUL, [0, _RIEUL]),
        (_AFTER_ANY, range(_FINALS)),
    )
    for particle in words.split()
}
"""Particles, and the final consonants (0: none) that they follow."""

_NEEDS_VERB = dict.fromkeys(_endings(_ENDINGS_OF_SURE_VERBS), True) | dict.fromkeys(_endings(_ENDINGS), False)
_AFTER_CONTRACTED = tuple(_endings(_ENDINGS_OF_CONTRACTED))
_SURELY_CONTRACTED = frozenset({_WO, _YEO, _WAE})
_ENDING_LETTERS = frozenset(ending[-1] for ending in (*_NEEDS_VERB, *_AFTER_CONTRACTED)) | {
    _FINAL_SS,
    _WO,
    _AE,
    _WAE,
    _YEO,
}
_LONGEST_PARTICLE, _LONGEST_ENDING = max(map(len, _PARTICLES)), max(map(len, _NEEDS_VERB))
_PASTS, _GUESS = tuple(map(_jamo, ("았", "었", "였"))), _jamo("겠")
_HAE, _HA = _jamo("해"), _jamo("하")
_VERB_MAKERS = tuple(map(_jamo, ("하", "되", "시키")))
_CONTRACTED_MAKERS = tuple(map(_jamo, ("해", "돼", "시켜")))
_CONTRACTED_YEO = tuple(map(_jamo, ("켜", "져", "쳐", "겨")))
_HONORIFIC, _HONORIFICS = _jamo("시"), tuple(map(_jamo, ("하시", "되시", "주시")))
_LINKED_HONORIFIC = _jamo("으시")


def korean_terms(run: str) -> list[str]:
    """Return the terms of a run of Hangul: its stem in overlapping bigrams, or the one syllable that the stem is.

    Never empty. Letters that are not syllables (ㅋㅋ) have no stem: they stay, and end the word before them.
    A noun and the same noun with any particle share a term; but 인, 일 and 요 stay behind one syllable (확인), and
    요 behind what may be a verb is taken for a verb's.
    """
    if _is_syllables(run):
        return _word_terms(run)
    return [
        term
        for piece in _PIECES.findall(run)
        for term in (_word_terms(piece) if _is_syllables(piece) else _bigrams(piece))
    ]


def _word_terms(word: str) -> list[str]:
    stem = korean_stem(word)
    if len(stem) == 1:  # 언어도: of a verb 언-, or the noun 언어 and a particle
        noun, particle = word[:2], word[2:]
        return [stem, noun] if particle != _POLITE and _fits(particle, noun[-1]) else [stem]
    terms = _bigrams(stem)
    if len(stem) == 2 and stem[1] in _MAY_LEAVE_ONE and _fits(stem[1], stem[0]):
        terms.append(stem[0])
    return terms


def _bigrams(word: str) -> list[str]:
    return [word] if len(word) == 1 else [word[i : i + 2] for i in range(len(word) - 1)]


def _is_syllables(word: str) -> bool:
    return min(word) >= _FIRST and max(word) <= _LAST


def korean_stem(word: str) -> str:
    """Return a word of Hangul without particles and endings; at least one syllable is left."""
    if not word or not _is_syllables(word):
        return word
    while len(word) > 1:
        particle, ending = _without_particle(word), _without_ending(word)
        shorter = ending if len(ending) < len(particle) or particle == word else particle
        if shorter == word:
            break
        word = shorter
    return word


def _fits(particle: str, before: str) -> bool:
    finals = _PARTICLES.get(particle)
    return finals is not None and (ord(before) - ord(_FIRST)) % _FINALS in finals


def _without_particle(word: str) -> str:
    for length in range(min(_LONGEST_PARTICLE, len(word) - 1), 0, -1):
        particle, rest = word[-length:], word[:-length]
        if _fits(particle, rest[-1]) and (len(rest) > 1 or length > 1 or particle in _LEAVES_ONE_SYLLABLE):
            return rest
    return word


def _without_ending(word: str) -> str:
    jamo = _jamo(word)
    if jamo[-1] not in _ENDING_LETTERS:
        return word
    stem = _verb_stem(jamo)
    return word if stem is None else unicodedata.normalize("NFC", stem)


def _verb_stem(jamo: str) -> str | None:
    for length in range(min(_LONGEST_ENDING, len(jamo) - 2), 0, -1):
        needs_verb = _NEEDS_VERB.get(jamo[-length:])
        if needs_verb is None:
            continue
        stem, is_past = _without_past(jamo[:-length])
        if not needs_verb or is_past or (stem.endswith(_VERB_MAKERS) and _syllables(stem) > 2):
            return _without_honorific(stem)
    stem, is_past = _without_past(jamo)
    if is_past:
        return _without_honorific(stem)
    for ending in _AFTER_CONTRACTED:
        rest = jamo.removesuffix(ending)
        if rest != jamo and (rest.endswith(_HAE) or rest[-1:] in _SURELY_CONTRACTED):
            return _expanded(rest)
    is_made = jamo.endswith(_CONTRACTED_MAKERS) and _syllables(jamo) > 2
    return _expanded(jamo) if is_made or jamo[-1] == _WO or jamo.endswith(_CONTRACTED_YEO) else None


def _without_past(jamo: str) -> tuple[str, bool]:
    """Return a verb without 았, 었, 였, 겠, or the ㅆ that they leave in a syllable, and whether it had one."""
    if jamo[-1] != _FINAL_SS:
        return jamo, False
    if len(jamo) > 3:
        if jamo.endswith(_GUESS):
            return _without_past(jamo[:-3])[0], True
        if jamo.endswith(_PASTS):
            return jamo[:-3], True
    return _expanded(jamo[:-1]), True


def _expanded(jamo: str) -> str:
    """Return a verb that ends in its stem's own vowel, not in one that 아 or 어 has run into."""
    if jamo.endswith(_HAE):
        return jamo[:-2] + _HA
    vowel = _VOWEL_BEFORE_EO.get(jamo[-1])
    is_whole = jamo[-2:-1] == _SILENT and jamo[-1] != _WO
    return jamo if vowel is None or is_whole else jamo[:-1] + vowel


def _without_honorific(jamo: str) -> str:
    if jamo.endswith(_HAE):
        jamo = _expanded(jamo)
    if jamo.endswith(_LINKED_HONORIFIC) and _syllables(jamo) > 2:
        return jamo[: -len(_LINKED_HONORIFIC)]
    return jamo[: -len(_HONORIFIC)] if jamo.endswith(_HONORIFICS) else jamo


def _syllables(jamo: str) -> int:
    """Number of syllables: each has one initial consonant."""
    return sum("\u1100" <= letter <= "\u1112" for letter in jamo)
