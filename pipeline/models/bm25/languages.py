"""Languages → one Snowball stemmer for each script: what `encoder.bm25.languages` means, and how it is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.config import Bm25Settings
from pipeline.config.encoder import AUTO
from pipeline.errors import ConfigError

LATIN = "Latin"
DEFAULT_LANGUAGES = ("en",)
"""Of a collection whose languages nobody named and nobody looked for."""

STEMMERS: Mapping[str, Mapping[str, str]] = {
    LATIN: {
        "ca": "catalan",
        "cs": "czech",
        "da": "danish",
        "de": "german",
        "en": "english",
        "eo": "esperanto",
        "es": "spanish",
        "et": "estonian",
        "eu": "basque",
        "fi": "finnish",
        "fr": "french",
        "ga": "irish",
        "hr": "serbian",
        "hu": "hungarian",
        "id": "indonesian",
        "it": "italian",
        "lt": "lithuanian",
        "nl": "dutch",
        "no": "norwegian",
        "pl": "polish",
        "pt": "portuguese",
        "ro": "romanian",
        "st": "sesotho",
        "sv": "swedish",
        "tr": "turkish",
    },
    "Arabic": {"ar": "arabic", "fa": "persian"},
    "Armenian": {"hy": "armenian"},
    "Cyrillic": {"ru": "russian", "sr": "serbian"},
    "Devanagari": {"hi": "hindi", "ne": "nepali"},
    "Greek": {"el": "greek"},
    "Hebrew": {"yi": "yiddish"},
    "Tamil": {"ta": "tamil"},
}
"""By script and ISO 639 code, the algorithms of Snowball."""

_WITHOUT = "af az be bg bn bs cy gl gu he is ja ka kk kn ko lv mk ml mn mr ms sk sl sq sw te th tl uk ur uz vi zh"
WITHOUT_STEMMER = frozenset(_WITHOUT.split())
"""Languages that may be named: their words stay as they are, or are cut otherwise (Korean, Chinese, Japanese)."""

_SCRIPTS = {code: script for script, names in STEMMERS.items() for code in names}


@dataclass(frozen=True, slots=True)
class Stemmers:
    """Snowball's name of the stemmer for words in Latin script, if any, and those for other scripts."""

    latin: str | None
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> dict[str, str]:
        """Its fields; `stemmers` only where there are others, so that older fingerprints stay what they are."""
        others = ", ".join(f"{script} {name}" for script, name in sorted(self.others.items()))
        return {"stemmer": self.latin or "none", **({"stemmers": others} if others else {})}


def stemmers_of(settings: Bm25Settings) -> Stemmers:
    """Return the stemmers of the languages that are named; of a script that none of them has, no stemmer.

    `stemmer`, if it is set, takes the place of the one for Latin script.
    Raises `ConfigError` for a language that is not known, and for two of one script.
    """
    chosen: dict[str, str] = {}
    for code in DEFAULT_LANGUAGES if settings.languages == AUTO else settings.languages:
        script = _script(code)
        if script is not None and chosen.setdefault(script, code) != code:
            raise ConfigError(
                f"encoder.bm25.languages: {chosen[script]} and {code} are both written in {script} script, which "
                "has one stemmer; name the one that most texts are in"
            )
    others = {script: STEMMERS[script][code] for script, code in chosen.items()}
    latin = others.pop(LATIN, None)
    return Stemmers(latin if settings.stemmer == AUTO else settings.stemmer, others)


def recorded_stemming(fingerprint: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """Return `stemmer` and `languages` of the settings whose encoder has this fingerprint."""
    latin = fingerprint.get("stemmer", "none")
    pairs = [pair.rsplit(" ", 1) for pair in fingerprint.get("stemmers", "").split(", ") if pair]
    languages = [code for script, name in pairs for code in _codes(script, name)]
    if latin == "none":
        return None, languages
    if known := _codes(LATIN, latin):
        return AUTO, sorted([*known, *languages])
    return latin, languages


def _codes(script: str, name: str) -> list[str]:
    return [code for code, known in STEMMERS.get(script, {}).items() if known == name]


def _script(code: str) -> str | None:
    """The script in which a language has a stemmer; `None` if it has none. Raises `ConfigError`."""
    if code not in _SCRIPTS and code not in WITHOUT_STEMMER:
        raise ConfigError(
            f"encoder.bm25.languages: {code!r} is not a language that is known here; with a stemmer: "
            f"{_listed(_SCRIPTS)}; without: {_listed(WITHOUT_STEMMER)}"
        )
    return _SCRIPTS.get(code)


def _listed(codes: Iterable[str]) -> str:
    return ", ".join(sorted(codes))
