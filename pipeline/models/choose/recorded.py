"""What settings leave open, an index answers: it goes on with the encoder that it was built with."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config import EncoderSettings
from pipeline.models.bm25.recorded import recorded_bm25
from pipeline.names import LEXICAL


def as_recorded(settings: EncoderSettings, fingerprints: Mapping[str, Mapping[str, str]]) -> EncoderSettings:
    """Return `settings` with what nobody set in them as the `fingerprints` of an index have it.

    `fingerprints`: fields by leg. What was set stays, whether it fits the index or not.
    """
    lexical = fingerprints.get(LEXICAL, {})
    return settings.model_copy(update={"bm25": recorded_bm25(settings.bm25, lexical)})
