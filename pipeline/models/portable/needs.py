"""Which packages a machine needs to encode the queries of an index, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.config import EncoderSettings
from pipeline.models.bm25.encoder import KIND as BM25
from pipeline.models.bm25.korean import recorded_korean
from pipeline.models.choose.kind import Kind
from pipeline.models.choose.kinds import resolve
from pipeline.models.local.transformer import TokenizerForm
from pipeline.names import DENSE, LEXICAL

_RUNTIME = ("openvino",)
_TOKENIZER = ("tokenizers",)
_HTTP = ("httpx2",)


@dataclass(frozen=True, slots=True)
class Need:
    """Packages, and what they are for."""

    purpose: str
    packages: tuple[str, ...]


def encoding_needs(
    settings: EncoderSettings,
    fingerprints: Mapping[str, Mapping[str, str]],
    bundled: Mapping[str, TokenizerForm],
) -> list[Need]:
    """What encodes the queries of an index with these settings and fingerprints.

    `bundled`: by leg, the tokenizers of the models that come with it. A model that does not come with it must be on
    the machine, with what converts it.
    """
    choice = resolve(settings)
    found: list[Need] = []
    for leg, kind in ((DENSE, choice.dense), (LEXICAL, choice.lexical)):
        if leg in bundled:
            tokenizer = () if bundled[leg] == "unigram" else _TOKENIZER
            found.append(Need("the encoder that comes with it", (*_RUNTIME, *tokenizer)))
        elif kind is not None and kind.asks_a_server:
            found.append(Need("the endpoint that encodes", _HTTP))
        elif kind is not None and kind.has_model and (leg == DENSE or not _is_dense_too(fingerprints)):
            found.append(Need(f"{kind.name}, which must be on the machine", _model(kind, leg, fingerprints)))
    lexical = fingerprints.get(LEXICAL, {})
    if lexical.get("kind") == BM25:
        found.append(Need("BM25", _bm25(lexical)))
    return found


def _is_dense_too(fingerprints: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether one model serves both legs."""
    dense, lexical = (fingerprints.get(leg, {}).get("revision") for leg in (DENSE, LEXICAL))
    return dense is not None and dense == lexical


def _model(kind: Kind, leg: str, fingerprints: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Packages of a model that does not come along: those of its kind, and what reads its weights."""
    always = {name for line in kind.lines for name, purpose in line.packages.items() if not purpose}
    recorded = fingerprints.get(leg, {}).get("kind")
    if recorded == "sentence-transformers":
        always |= {"sentence-transformers", "torch"}
    if kind.serves is not None and "bge-m3" in (fingerprints.get(LEXICAL, {}).get("kind"), recorded):
        always |= {"torch", *_RUNTIME, *_TOKENIZER}  # heads of a BGE-M3 are torch's files
    return tuple(sorted(always))


def _bm25(fingerprint: Mapping[str, str]) -> tuple[str, ...]:
    stems = fingerprint.get("stemmer", "none") != "none" or "stemmers" in fingerprint
    morphemes = recorded_korean(fingerprint) == "morphemes"
    return (*(("PyStemmer",) if stems else ()), "regex", *(("kiwipiepy",) if morphemes else ()))
