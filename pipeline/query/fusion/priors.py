"""What is known of a model's leg before a collection has asked itself a single question.

A prior is about one number: how many units of the lexical leg one unit of this leg is worth (`calibration.py` says
what the units are). They were fitted on judged collections: docs/experiments/fusion.md. BGE-M3's is that of e5 with
M3's kind of lexical weights, a little wider. A model that is not listed gets a wide one: the collection decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline import names


@dataclass(frozen=True, slots=True)
class Prior:
    """`slope`: the most likely worth, > 0. `spread`: standard deviation of its natural logarithm.

    `noise`: how likely the leg is to know nothing of this script at all, between 0 and 1.
    """

    slope: float
    spread: float
    noise: float


UNKNOWN = Prior(0.25, 1.0, 0.3)
ANY = ""
"""Stands for every script that a model's table does not name."""

_MODELS: Mapping[str, Mapping[str, Prior]] = {
    "intfloat/multilingual-e5-small": {ANY: Prior(0.42, 0.4, 0.001)},
    "BAAI/bge-m3": {ANY: Prior(0.5, 0.6, 0.001)},
    "sentence-transformers/all-MiniLM-L6-v2": {"latin": Prior(0.25, 1.2, 0.02), ANY: Prior(0.02, 0.8, 0.3)},
}
_UNKNOWN: Mapping[str, Prior] = {ANY: UNKNOWN}

Fingerprints = Mapping[str, Mapping[str, str]]
"""By leg, as a manifest keeps them."""


def scripts_told_apart(fingerprints: Fingerprints) -> tuple[str, ...]:
    """Return the scripts that the dense model's table names, `ANY` among them."""
    return tuple(sorted(_table(names.DENSE, fingerprints)))


def prior_of(leg: str, script: str, fingerprints: Fingerprints) -> Prior:
    """Return the prior of a leg for queries in a script."""
    table = _table(leg, fingerprints)
    return table.get(script, table[ANY])


def _table(leg: str, fingerprints: Fingerprints) -> Mapping[str, Prior]:
    if leg != names.DENSE:
        return _UNKNOWN
    return _MODELS.get(fingerprints.get(leg, {}).get("model", ""), _UNKNOWN)
