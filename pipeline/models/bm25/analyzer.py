"""The BM25 analyzer: text → terms → stable 64-bit term ids, with no vocabulary.

NFKC, casefold, then Unicode words (letters, marks, numbers, underscore). Inside a word, runs of Han and kana, and
runs of Hangul, become character bigrams (a run of one character gives itself); the rest of a word stays whole, and
is stemmed when all its letters are of one script that has a stemmer. Runs of Hangul may be cut by another function
instead (`korean.py`).
A term's id is xxh3-64 of its UTF-8 bytes, the same on every machine, so that segments built apart can be searched
together.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from pipeline.errors import ConfigError
from pipeline.records import SparseRows
from pipeline.startup.installed import told_what_to_install

if TYPE_CHECKING:
    from collections.abc import Callable

ANALYZER_VERSION = "1"
HASH_NAME = "xxh3_64"

_HAN_KANA = r"\p{Han}\p{Hiragana}\p{Katakana}ー"
_HANGUL = r"\p{Hangul}"
_WORD = r"\p{L}\p{M}\p{N}_"
_JOINERS = {"Arabic": "ـ"}
"""Letters of no script of their own that stand inside words of one."""
_CACHED_RUNS = 200_000
_CACHED_RUN_LENGTH = 24
_LONG = 1 << 17
"""Characters: a text of more is not one to be seen again, and its words would push all others out of the cache."""


class _Matcher(Protocol):
    def findall(self, string: str, /) -> list[str]: ...


def term_id(term: str) -> int:
    """The id of a term: xxh3-64 (seed 0) of its UTF-8 bytes."""
    return xxhash.xxh3_64_intdigest(term.encode("utf-8", "surrogatepass"))


def normalize(text: str) -> str:
    """NFKC and full case folding, repeated so that normalizing twice changes nothing."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded if unicodedata.is_normalized("NFKC", folded) else unicodedata.normalize("NFKC", folded)


class Analyzer:
    """Cuts texts into terms. Holds a bounded cache, so use one per thread.

    `stemmer`: a Snowball algorithm for words in Latin script (`english`, `german`, …), or `None` for no stemming.
    `hangul`: cuts a run of Hangul into terms; by default into bigrams. `others`: Snowball algorithms for words in
    other scripts, by the script's name in Unicode (`Cyrillic`, …). `names`: gives what a text's words are found by
    besides, such as the parts of identifiers, which come after its other terms.
    Raises `ConfigError` for a stemmer that Snowball does not have.
    """

    def __init__(
        self,
        stemmer: str | None = "english",
        hangul: Callable[[str], Iterable[str]] | None = None,
        others: Mapping[str, str] | None = None,
        names: Callable[[str], list[str]] | None = None,
    ) -> None:
        self._ascii: _Matcher = re.compile(r"[a-z0-9_]+")
        self._unicode: _Matcher | None = None
        self._stem = _stemmer(stemmer)
        self._others = {script: _stemmer(name) for script, name in (others or {}).items()}
        self._by_script: list[tuple[Callable[[str], object], Callable[[str], str]]] | None = None
        self._hangul = hangul
        self._names = names
        self._runs: dict[str, tuple[tuple[str, int], ...]] = {}

    def terms(self, text: str) -> list[str]:
        """The terms of a text, in order, repetitions kept."""
        return [term for run in self._split(text) for term, _ in self._run_terms(run)]

    def term_frequencies(self, text: str) -> dict[int, int]:
        """`{term id: occurrences}` of a text."""
        counts: dict[int, int] = {}
        cache = self._runs
        for run, occurrences in Counter(self._split(text)).items():
            for _, key in cache.get(run) or self._run_terms(run):
                counts[key] = counts.get(key, 0) + occurrences
        return counts

    def rows(self, texts: Sequence[str]) -> SparseRows:
        """One sparse row per text; weights are term frequencies."""
        return _to_rows([self.term_frequencies(text) for text in texts])

    def describe(self, text: str) -> Mapping[int, str]:
        """`{term id: term}` of a text."""
        if text.isascii() and len(text) > _LONG:
            terms = [self._stem(run) for run in dict.fromkeys(self._split(text))]
            return dict(zip(map(xxhash.xxh3_64_intdigest, map(str.encode, terms)), terms, strict=True))
        return {key: term for run in self._split(text) for term, key in self._run_terms(run)}

    def _split(self, text: str) -> list[str]:
        more = self._names(text) if self._names is not None else []
        text = normalize(text)
        if text.isascii():
            return self._ascii.findall(text) + more
        if self._unicode is None:
            self._unicode = _unicode_matcher()
        return self._unicode.findall(text) + more

    def _run_terms(self, run: str) -> tuple[tuple[str, int], ...]:
        found = self._runs.get(run)
        if found is not None:
            return found
        terms = tuple((term, term_id(term)) for term in self._cut(run))
        if len(run) <= _CACHED_RUN_LENGTH:
            if len(self._runs) >= _CACHED_RUNS:
                self._runs.clear()
            self._runs[run] = terms
        return terms

    def _cut(self, run: str) -> Iterable[str]:
        if run.isascii():
            return (self._stem(run),)
        if self._by_script is None:
            regex = _regex()
            self._by_script = [
                (regex.compile(rf"[\p{{{script}}}\p{{M}}\p{{N}}{_JOINERS.get(script, '')}_]+").fullmatch, stem)
                for script, stem in {"Latin": self._stem, **self._others}.items()
            ]
            self._is_bigrams = regex.compile(f"[{_HAN_KANA}{_HANGUL}]").match
            self._is_hangul = regex.compile(_HANGUL).match
        if self._hangul is not None and self._is_hangul(run):
            return self._hangul(run)
        if self._is_bigrams(run):
            return (run,) if len(run) == 1 else (run[i : i + 2] for i in range(len(run) - 1))
        return (next((stem(run) for is_of_script, stem in self._by_script if is_of_script(run)), run),)


def _regex() -> Any:
    # Only for text that is not ASCII: the standard library's `re` knows neither scripts nor combining marks.
    with told_what_to_install():
        return importlib.import_module("regex")


def _unicode_matcher() -> _Matcher:
    others = f"[[{_WORD}]--[{_HAN_KANA}{_HANGUL}]]+"
    matcher: _Matcher = _regex().compile(f"[{_HAN_KANA}]+|[{_HANGUL}]+|{others}", _regex().V1)
    return matcher


def _stemmer(name: str | None) -> Callable[[str], str]:
    if name is None:
        return str
    with told_what_to_install():
        import Stemmer

    try:
        # Runs are cached with their ids; a second cache, of stems, would only be filled and emptied.
        stem: Callable[[str], str] = Stemmer.Stemmer(name, 0).stemWord
    except KeyError:
        known = ", ".join(sorted(Stemmer.algorithms()))
        raise ConfigError(
            f"encoder.bm25.stemmer={name!r} is not a Snowball stemmer; choose one of: {known}"
        ) from None
    return stem


def _to_rows(counts: Sequence[Mapping[int, int]]) -> SparseRows:
    indptr = np.zeros(len(counts) + 1, np.int64)
    np.cumsum([len(row) for row in counts], out=indptr[1:])
    total = int(indptr[-1])
    ids: npt.NDArray[np.uint64] = np.fromiter((key for row in counts for key in row), np.uint64, total)
    weights = np.fromiter((n for row in counts for n in row.values()), np.float32, total)
    order = np.lexsort((ids, np.repeat(np.arange(len(counts)), np.diff(indptr))))
    return SparseRows(indptr, ids[order], weights[order])
