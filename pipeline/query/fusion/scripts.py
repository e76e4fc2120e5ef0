"""Which script a text is written in: it decides what a leg is worth, and costs no model to tell."""

from __future__ import annotations

import unicodedata
from collections import Counter

FOREIGN_SHARE = 1 / 6
"""A text is of another script than Latin if at least this share of its letters is: queries about software in any
language are full of Latin names, and English queries hardly ever hold another script."""
_WIDTHS = ("HALFWIDTH ", "FULLWIDTH ")


def dominant_script(text: str) -> str:
    """The script of a text by its letters: `latin`, `hangul`, `han`, `kana`, `cyrillic`, …; empty without letters.

    Latin only if no other script has a noticeable share. Japanese is `kana`, also where most of it is Han.
    """
    counts = Counter(_script(letter) for letter in text if letter.isalpha())
    total = counts.total()
    if not total:
        return ""
    foreign = total - counts["latin"]
    if foreign < FOREIGN_SHARE * total:
        return "latin"
    del counts["latin"]
    if counts["kana"] >= FOREIGN_SHARE * foreign:
        return "kana"
    return min(counts, key=lambda script: (-counts[script], script))


def _script(letter: str) -> str:
    if letter.isascii():
        return "latin"
    name = unicodedata.name(letter, "")
    for width in _WIDTHS:
        name = name.removeprefix(width)
    first = name.split(maxsplit=1)[0] if name else ""
    if first.startswith("CJK"):
        return "han"
    return "kana" if first in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA") else first.lower()
