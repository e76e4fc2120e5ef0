"""The quality gate: whether a finished generation may go live. Pure; `golden.py` gathers what it judges by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.config import GateSettings

EXPECTED = "expected"
"""The measure of `gate.expect`: the share of its queries that find an expected document in time. All must, unless
`minimum` says otherwise."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a generation is judged by. `live_*` is `None` where there is nothing to compare with.

    `read` and `rejected`: documents of this build; `new_chunks` and the empty ones among them: of segments that the
    live generation does not have; `missed`: expectations that did not hold, a line each.
    """

    documents: int
    live_documents: int | None = None
    read: int = 0
    rejected: int = 0
    new_chunks: int = 0
    empty_vectors: int = 0
    empty_lexical: int = 0
    measures: Mapping[str, float] = field(default_factory=dict)
    live_measures: Mapping[str, float] | None = None
    missed: tuple[str, ...] = ()


def judge(settings: GateSettings, facts: Facts) -> tuple[str, ...]:
    """Every reason not to publish, a line each; empty if the generation is good."""
    return (*_collapse(settings, facts), *_shares(settings, facts), *_measures(settings, facts))


def _collapse(settings: GateSettings, facts: Facts) -> Iterator[str]:
    if facts.live_documents and facts.documents < settings.min_document_ratio * facts.live_documents:
        yield (
            f"{facts.documents:,} documents where the live generation has {facts.live_documents:,}, "
            f"below gate.min_document_ratio={settings.min_document_ratio:g}"
        )


def _shares(settings: GateSettings, facts: Facts) -> Iterator[str]:
    seen = facts.read + facts.rejected
    for what, count, total, key, most in (
        ("documents were rejected", facts.rejected, seen, "max_reject_ratio", settings.max_reject_ratio),
        (
            "new chunks have an empty vector",
            facts.empty_vectors,
            facts.new_chunks,
            "max_empty_vector_ratio",
            settings.max_empty_vector_ratio,
        ),
        (
            "new chunks have no lexical weight",
            facts.empty_lexical,
            facts.new_chunks,
            "max_empty_lexical_ratio",
            settings.max_empty_lexical_ratio,
        ),
    ):
        if count > most * total:
            yield f"{count:,} of {total:,} {what}, above gate.{key}={most:g}"


def _measures(settings: GateSettings, facts: Facts) -> Iterator[str]:
    least_of = ({EXPECTED: 1.0} if EXPECTED in facts.measures else {}) | settings.minimum
    for name, least in least_of.items():
        value = facts.measures[name]
        if value < least:
            missed = f" ({'; '.join(facts.missed)})" if name == EXPECTED and facts.missed else ""
            yield f"{name} is {value:.4f}, below gate.minimum={least:g}{missed}"
    for name, most in settings.max_drop.items():
        if facts.live_measures is None or name not in facts.live_measures:
            continue
        value, before = facts.measures[name], facts.live_measures[name]
        if before - value > most:
            yield f"{name} fell from {before:.4f} to {value:.4f}, by more than gate.max_drop={most:g}"
