"""What the settings of an encoder leave open, an index answers that it is used with, or else the collection.

`encoder.model: embedded` is open in this sense too: it goes on with the model that an index was built with when the
word named another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.config import EncoderSettings
from pipeline.config.encoder import AUTO
from pipeline.models.bm25.encoder import KIND
from pipeline.models.bm25.recorded import recorded_bm25
from pipeline.models.contract import Encoder
from pipeline.models.local.english import english_fingerprint
from pipeline.names import DENSE, LEXICAL


def as_recorded(settings: EncoderSettings, fingerprints: Mapping[str, Mapping[str, str]]) -> EncoderSettings:
    """Return `settings` with what nobody set in them as the `fingerprints` of an index have it.

    `fingerprints`: fields by leg. What was set stays, whether it fits the index or not.
    """
    lexical = fingerprints.get(LEXICAL, {})
    former = settings.with_former_default()
    if former is not None and fingerprints.get(DENSE) == dict(english_fingerprint().fields):
        settings = former
    return settings.model_copy(update={"bm25": recorded_bm25(settings.bm25, lexical)})


def goes_on(index: Path, model: str) -> str:
    """Return the words for an index that goes on with the former embedded model, now called `model`."""
    return (
        f"{index}: was built when `embedded` was all-MiniLM-L6-v2, and goes on with it; set encoder.model: "
        f"{model}, or change to the multilingual model with `pipeline build --full`"
    )


def as_found(settings: EncoderSettings, encoder: Encoder, texts: Iterable[str]) -> EncoderSettings:
    """Return `settings` with the languages that `texts` are mostly in, if nobody named them and BM25 needs them.

    `encoder`: that of `settings`. `texts`: a sample of the collection; read only if need be.
    """
    lexical = dict(encoder.lexical_fingerprint.fields) if encoder.lexical_fingerprint else {}
    if settings.bm25.languages != AUTO or lexical.get("kind") != KIND:
        return settings
    from pipeline.models.bm25.detection import languages_of

    bm25 = settings.bm25.model_copy(update={"languages": languages_of(texts)})
    return settings.model_copy(update={"bm25": bm25})
