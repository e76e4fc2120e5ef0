"""How Korean is cut into terms: what `encoder.bm25.korean` chooses, and how a fingerprint tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Korean = Literal["stems", "bigrams", "morphemes"]
STEMS: Final = "stems"
BIGRAMS: Final = "bigrams"
MORPHEMES: Final = "morphemes"
FIELD = "korean"


@dataclass(frozen=True, slots=True)
class HangulCutting:
    """`cut`: one run of Hangul → terms; `None`: into bigrams. `fingerprint`: its fields, none for bigrams."""

    cut: Callable[[str], Iterable[str]] | None
    fingerprint: Mapping[str, str]


def hangul_cutting(korean: Korean) -> HangulCutting:
    """Return the chosen way. Raises `MissingDependencyError` for morphemes without their packages."""
    if korean == STEMS:
        from pipeline.models.bm25.korean_stems import STEMS_VERSION, korean_terms

        return HangulCutting(korean_terms, {FIELD: STEMS_VERSION})
    if korean == MORPHEMES:
        from pipeline.models.bm25.korean_morphemes import MorphemeCutter, morpheme_version

        return HangulCutting(MorphemeCutter(), {FIELD: morpheme_version()})
    return HangulCutting(None, {})


def recorded_korean(fingerprint: Mapping[str, str]) -> Korean:
    """Return the way that the fingerprint of a BM25 encoder tells."""
    recorded = fingerprint.get(FIELD)
    if recorded is None:
        return BIGRAMS
    return STEMS if recorded.startswith(f"{STEMS} ") else MORPHEMES
