"""Korean words → morphemes, by kiwipiepy (the extra `korean`), imported only when needed.

A word is analysed by itself, so that it gives the same terms in a passage and in a question, and so that a cache
can hold it. Particles and endings say how a word is used, not what it is about, and are dropped. A noun of
`LONG_NOUN` syllables or more is most often a compound that others write apart: it becomes syllable bigrams.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

from pipeline.errors import MissingDependencyError

INSTALL_KOREAN = "pip install 'hybrid-pipeline[korean]'"
LONG_NOUN = 4
_RULES = "1"
_PACKAGES = ("kiwipiepy", "kiwipiepy_model")
_USE_NOT_MEANING = ("J", "E")
"""Tags of particles (josa: J…) and of endings (eomi: E…) in the Sejong set."""


def morpheme_version() -> str:
    """What decides which terms come out: analyser, its model and the rules here. Loads nothing.

    Raises `MissingDependencyError` naming the extra.
    """
    try:
        versions = [f"{package} {metadata.version(package)}" for package in _PACKAGES]
    except metadata.PackageNotFoundError as error:
        raise _missing(str(error.name)) from None
    return ", ".join([*versions, f"rules {_RULES}"])


class MorphemeCutter:
    """Cuts one run of Hangul into terms. The analyser is loaded (1 to 2 s) by the first call."""

    def __init__(self) -> None:
        self._tokenize: Callable[[str], Any] | None = None

    def __call__(self, run: str) -> list[str]:
        """Terms of a run of Hangul, in order; none where it is particles and endings only."""
        if self._tokenize is None:
            self._tokenize = _load()
        terms: list[str] = []
        for token in self._tokenize(run):
            if token.tag.startswith(_USE_NOT_MEANING):
                continue
            form = token.form
            if token.tag.startswith("NN") and len(form) >= LONG_NOUN:
                terms += [form[i : i + 2] for i in range(len(form) - 1)]
            else:
                terms.append(form)
        return terms


def _load() -> Callable[[str], Any]:
    try:
        from kiwipiepy import Kiwi
    except ImportError as error:
        raise _missing(error.name or "kiwipiepy") from error
    tokenize: Callable[[str], Any] = Kiwi(num_workers=1).tokenize
    return tokenize


def _missing(package: str) -> MissingDependencyError:
    return MissingDependencyError(f"encoder.bm25.korean: morphemes needs the package {package}; {INSTALL_KOREAN}")
