"""BM25 as an encoder of the lexical leg: rows of term frequencies; the scores are made at query time.

Saturation, length normalisation and idf need statistics of the whole live index, so they are left to the scorer:
then a score depends neither on the order of builds nor on how chunks are spread over segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.config import Bm25Settings
from pipeline.models.bm25.analyzer import ANALYZER_VERSION, HASH_NAME, Analyzer
from pipeline.models.bm25.identifiers import name_parts
from pipeline.models.bm25.korean import hangul_cutting
from pipeline.models.bm25.languages import stemmers_of
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.records import Encoded, Fingerprint

KIND = "bm25"
PARTS, WHOLE = "parts", "whole"


class Bm25Encoder:
    """Lexical only: `Encoded.lexical` holds term frequencies (float32) keyed by the hash of the term.

    `k1` and `b` are scoring alone, so they are not in the fingerprint: changing them needs no new build. How Korean
    is cut is in it, with the analyser's version, as another version may give other terms. `languages: auto` means
    English here: which ones a collection has is for a build to find out.
    Raises `MissingDependencyError` where `korean: morphemes` is configured and its packages are not installed,
    `ConfigError` for a language or a stemmer that is not known.
    """

    dense_fingerprint: Fingerprint | None = None
    dimension: int | None = None
    runtime = Runtime("numpy", "cpu", "f32")
    combines_queries = True

    def __init__(self, settings: Bm25Settings | None = None) -> None:
        settings = self._settings = settings or Bm25Settings()
        korean = hangul_cutting(settings.korean)
        stemmers = stemmers_of(settings)
        parts = settings.identifiers == PARTS
        self._analyzer = Analyzer(stemmers.latin, korean.cut, stemmers.others, name_parts if parts else None)
        self.lexical_fingerprint: Fingerprint | None = Fingerprint.of(
            kind=KIND,
            analyzer=ANALYZER_VERSION,
            hash=HASH_NAME,
            **stemmers.fingerprint,
            **korean.fingerprint,
            **({"identifiers": PARTS} if parts else {}),
        )
        self.gives_multivectors = False
        self.lexical_scoring = LexicalScoring("bm25", k1=settings.k1, b=settings.b)

    def __reduce__(self) -> tuple[type[Bm25Encoder], tuple[Bm25Settings]]:
        return Bm25Encoder, (self._settings,)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Term frequencies of each text."""
        return Encoded(lexical=self._analyzer.rows(texts))

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Term counts of each query."""
        return Encoded(lexical=self._analyzer.rows(texts))

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """`{term id: term}`; terms are stems, words, bigrams and morphemes."""
        return self._analyzer.describe(text)
