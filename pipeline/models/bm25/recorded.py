"""From the fingerprint of a BM25 encoder back to its settings."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config import Bm25Settings
from pipeline.config.encoder import AUTO
from pipeline.models.bm25.encoder import KIND, PARTS, WHOLE
from pipeline.models.bm25.korean import recorded_korean
from pipeline.models.bm25.languages import recorded_stemming


def recorded_bm25(settings: Bm25Settings, fingerprint: Mapping[str, str]) -> Bm25Settings:
    """Return `settings` with what nobody set in them as `fingerprint` has it, if it is one of BM25."""
    if fingerprint.get("kind") != KIND:
        return settings
    recorded: dict[str, object] = {}
    if "korean" not in settings.model_fields_set:
        recorded["korean"] = recorded_korean(fingerprint)
    if "identifiers" not in settings.model_fields_set:
        recorded["identifiers"] = PARTS if fingerprint.get("identifiers") == PARTS else WHOLE
    if settings.languages == AUTO:
        stemmer, recorded["languages"] = recorded_stemming(fingerprint)
        if settings.stemmer == AUTO:
            recorded["stemmer"] = stemmer
    return settings.model_copy(update=recorded)
