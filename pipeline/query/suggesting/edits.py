"""Words that a slip of the pen makes of a word: letters left out, added, exchanged or turned around.

Hangul is changed by its letters (jamo): one initial, vowel or final consonant of one syllable.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

ALPHABETS = {
    "a": "abcdefghijklmnopqrstuvwxyz",
    "а": "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
    "α": "αβγδεζηθικλμνξοπρσςτυφχψω",
}
"""By the first letter of each: those of the script that are tried."""
_FIRST, _VOWELS, _FINALS, _SYLLABLES = 0xAC00, 21, 28, 11_172


def is_syllable(character: str) -> bool:
    """Whether it is a whole syllable of Hangul."""
    return 0 <= ord(character) - _FIRST < _SYLLABLES


def letter_edits(word: str) -> set[str]:
    """All words at one slip from a word, in the alphabets of its letters and in those letters."""
    return {edit for _, edit in _edits(word, 0, _letters_of(word))} - {word, ""}


def further_edits(word: str) -> set[str]:
    """All words that two slips make of a word, in the same letters."""
    letters = _letters_of(word)
    found: set[str] = set()
    for edit, place in {edit: place for place, edit in _edits(word, 0, letters)}.items():
        # Slips that touch no common letter may change places, so the second one is never far before the first.
        found.update(further for _, further in _edits(edit, max(place - 2, 0), letters))
    return found - {word, ""}


def _letters_of(word: str) -> str:
    letters = "".join(alphabet for alphabet in ALPHABETS.values() if set(alphabet) & set(word))
    return "".join(dict.fromkeys(letters + word))


def _edits(word: str, start: int, letters: str) -> list[tuple[int, str]]:
    """What one slip at `start` or later makes of a word, each with its place. Of equal letters, the last counts."""
    found: list[tuple[int, str]] = []
    for place in range(start, len(word) + 1):
        before, after = word[:place], word[place:]
        if not after:
            found += [(place, before + letter) for letter in letters]
            break
        others = letters.replace(after[0], "")
        rest = after[1:]
        found += [(place, before + letter + after) for letter in others]
        found += [(place, before + letter + rest) for letter in others]
        if not after.startswith(after[0], 1):
            found.append((place, before + rest))
        if len(after) > 1:
            found.append((place, before + after[1] + after[0] + after[2:]))
    return found


def syllable_edits(word: str) -> set[str]:
    """All words of Hangul of which one letter is another, or a syllable is left out or has changed places."""
    found: set[str] = set()
    for place, syllable in enumerate(word):
        before, after = word[:place], word[place + 1 :]
        found.add(before + after)
        found.update(before + other + after for other in _near(syllable))
        if after:
            found.add(before + after[0] + syllable + after[1:])
    return found - {word, ""}


def _near(syllable: str) -> Iterator[str]:
    code = ord(syllable) - _FIRST
    initial, vowel, final = code // (_VOWELS * _FINALS), code // _FINALS % _VOWELS, code % _FINALS
    yield from (_composed(other, vowel, final) for other in range(19))
    yield from (_composed(initial, other, final) for other in range(_VOWELS))
    yield from (_composed(initial, vowel, other) for other in range(_FINALS))


def _composed(initial: int, vowel: int, final: int) -> str:
    return chr(_FIRST + (initial * _VOWELS + vowel) * _FINALS + final)


def distance(one: str, other: str) -> int:
    """How many slips lie between two words: letters left out, added, exchanged, or neighbours turned around; of
    Hangul the letters of its syllables (optimal string alignment)."""
    a, b = unicodedata.normalize("NFD", one), unicodedata.normalize("NFD", other)
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, last[j - 2] + 1)
            row.append(best)
    return row[-1]
