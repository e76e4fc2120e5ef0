"""The quality gate: whether a finished generation may go live. Pure; `evidence.py` gathers what it judges by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.config import GateSettings
from pipeline.index.statistics import Circumstances, Verdict
from pipeline.job.comparison import collapse
from pipeline.job.comparison.collapse import Compared, Known

EXPECTED = "expected"
"""The measure of `gate.expect`: the share of its queries that find an expected document in time. All must, unless
`minimum` says otherwise."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a generation is judged by. `live_*` is `None` where there is nothing to compare with.

    `read` and `rejected`: documents of this build; `allow_deletes`: whether however few documents are left is fine;
    `new_chunks` and the empty ones among them: of segments that the live generation does not have; `inputs` changes
    with anything that changes what is measured; `missed`: expectations that did not hold, a line each; `known`:
    `None` where no known items were asked for.
    """

    documents: int
    live_documents: int | None = None
    read: int = 0
    rejected: int = 0
    allow_deletes: bool = False
    new_chunks: int = 0
    empty_vectors: int = 0
    empty_lexical: int = 0
    inputs: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    live_measures: Mapping[str, float] | None = None
    missed: tuple[str, ...] = ()
    known: Known | None = None

    def known_items_record(self) -> Mapping[str, Any] | None:
        """Known items as a manifest keeps them for the next build."""
        return self.known.now.to_json() if self.known else None

    def known_items(self, settings: GateSettings) -> tuple[Compared, ...]:
        """The comparisons of known items; empty where none were asked for."""
        return collapse.compared(self.known, settings.min_known_item_ratio) if self.known else ()


def judge(settings: GateSettings, evidence: Evidence) -> Verdict:
    """The verdict on a generation, with what of the evidence is needed to judge it again."""
    return Verdict(
        inputs=evidence.inputs,
        measures=evidence.measures,
        refusals=refusals(settings, evidence),
        circumstances=Circumstances(evidence.read, evidence.rejected, evidence.allow_deletes),
        collapsed=any(one.collapsed and one.leg for one in evidence.known_items(settings)) or None,
    )


def refusals(settings: GateSettings, evidence: Evidence) -> tuple[str, ...]:
    """Every reason not to publish, a line each; empty if the generation is good."""
    return (
        *_collapse(settings, evidence),
        *_shares(settings, evidence),
        *_measures(settings, evidence),
        *collapse.lines(evidence.known_items(settings), settings.min_known_item_ratio),
    )


def _collapse(settings: GateSettings, evidence: Evidence) -> Iterator[str]:
    if evidence.allow_deletes or not evidence.live_documents:
        return
    if evidence.documents < settings.min_document_ratio * evidence.live_documents:
        yield (
            f"{evidence.documents:,} documents where the live generation has {evidence.live_documents:,}, "
            f"below gate.min_document_ratio={settings.min_document_ratio:g}"
        )


def _shares(settings: GateSettings, evidence: Evidence) -> Iterator[str]:
    seen = evidence.read + evidence.rejected
    for what, count, total, key, most in (
        ("documents were rejected", evidence.rejected, seen, "max_reject_ratio", settings.max_reject_ratio),
        (
            "new chunks have an empty vector",
            evidence.empty_vectors,
            evidence.new_chunks,
            "max_empty_vector_ratio",
            settings.max_empty_vector_ratio,
        ),
        (
            "new chunks have no lexical weight",
            evidence.empty_lexical,
            evidence.new_chunks,
            "max_empty_lexical_ratio",
            settings.max_empty_lexical_ratio,
        ),
    ):
        if count > most * total:
            yield f"{count:,} of {total:,} {what}, above gate.{key}={most:g}"


def _measures(settings: GateSettings, evidence: Evidence) -> Iterator[str]:
    least_of = ({EXPECTED: 1.0} if EXPECTED in evidence.measures else {}) | settings.minimum
    for name, least in least_of.items():
        value = evidence.measures[name]
        if value < least:
            missed = f" ({'; '.join(evidence.missed)})" if name == EXPECTED and evidence.missed else ""
            yield f"{name} is {value:.4f}, below gate.minimum={least:g}{missed}"
    for name, most in settings.max_drop.items():
        if evidence.live_measures is None or name not in evidence.live_measures:
            continue
        value, before = evidence.measures[name], evidence.live_measures[name]
        if before - value > most:
            yield f"{name} fell from {before:.4f} to {value:.4f}, by more than gate.max_drop={most:g}"
