"""Which language a collection's texts in each script are mostly in, by the detector of py3langid."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from pipeline.models.bm25.languages import DEFAULT_LANGUAGES, LATIN, STEMMERS

_LOOKED_AT = 1000
"""Characters of one text."""
_FEWEST_LETTERS = 20
"""Of one text; fewer tell too little of a language."""
_LEAST_SHARE = 0.05
"""Of all texts' letters: what a script has less of has no say, as in notes with some lines of code."""

_WRITTEN_IN = {
    "Arabic": "ar ary arz fa ps sdh ug ur",
    "Armenian": "hy",
    "Cyrillic": "ba be bg kk ky mk mn ru sr tg tt uk",
    "Devanagari": "gom hi mr ne sa",
    "Greek": "el grc",
    "Hebrew": "hbo he",
    "Tamil": "ta",
}
"""What the detector knows in each script. In Latin it knows all others but those of scripts without a stemmer."""
_OTHER_SCRIPTS = "am as bn dz gu ja ka km kn ko lo ml my or pa si te th wuu yue zh"
_IN_LATIN_TOO = "sr"
_NO_LANGUAGE = "zxx"
_TAKEN_FOR = {
    LATIN: {"bs": "hr", "nn": "no", "pcm": "en", "sr": "hr"},
    "Arabic": {"ary": "ar", "arz": "ar"},
    "Greek": {"grc": "el"},
}
"""Varieties that share a stemmer with another language, by script."""


def languages_of(texts: Iterable[str]) -> list[str]:
    """Return for each script the language that most of its texts are in, if that has a stemmer; sorted codes.

    A text is in the script of more than half of its letters, and counts by how many it has. English is taken for
    Latin script where hardly a text is in it.
    """
    by_script: dict[str, list[str]] = {}
    letters = 0
    for text in texts:
        start = text[:_LOOKED_AT]
        count = len(_regex(r"\p{L}").findall(start))
        letters += count
        script = _script(start, count)
        if script is not None:
            by_script.setdefault(script, []).append(" ".join(_regex(rf"[\p{{{script}}}\p{{M}}'’]+").findall(start)))
    said = {s: of_it for s, of_it in by_script.items() if sum(map(len, of_it)) >= _LEAST_SHARE * letters}
    identifier = _identifier() if said else None
    found = {script: _language(script, of_it, identifier) for script, of_it in said.items()}
    codes = [code for script, code in found.items() if code in STEMMERS[script]]
    return sorted(codes if LATIN in found else [*codes, *DEFAULT_LANGUAGES])


def _script(text: str, letters: int) -> str | None:
    if letters < _FEWEST_LETTERS:
        return None
    return next(
        (script for script in STEMMERS if 2 * len(_regex(rf"\p{{{script}}}").findall(text)) > letters), None
    )


def _language(script: str, texts: Sequence[str], identifier: Any) -> str:
    """The code for which most letters of `texts` speak; that of no language where all are code or the like."""
    identifier.set_languages(_known_in(script, identifier))
    votes: Counter[str] = Counter()
    for text in texts:
        code = str(identifier.classify(text)[0])
        if code != _NO_LANGUAGE:
            votes[_TAKEN_FOR.get(script, {}).get(code, code)] += len(text)
    return min(votes, key=lambda code: (-votes[code], code), default=_NO_LANGUAGE)


def _known_in(script: str, identifier: Any) -> list[str]:
    if script != LATIN:
        return _WRITTEN_IN[script].split()
    identifier.set_languages()
    elsewhere = {code for codes in (*_WRITTEN_IN.values(), _OTHER_SCRIPTS) for code in codes.split()}
    return [code for code in identifier.labels if code not in elsewhere - set(_IN_LATIN_TOO.split())]


def _identifier() -> Any:
    """The detector, loaded (0.4 s)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


@cache
def _regex(pattern: str) -> Any:
    return importlib.import_module("regex").compile(pattern)
