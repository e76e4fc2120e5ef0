"""A hit's metadata as frameworks carry it: the document's own fields beside those that say where it was found."""

from __future__ import annotations

import dataclasses
from typing import Any

from pipeline.records import Hit, LegScore

OVERRIDDEN = "document_metadata"
"""Where the document's own fields are kept whose names are taken."""
SHOWN_TO_MODELS = ("source", "headings")
"""Of the fields that are not the document's own, those that a language model may make use of."""


def hit_metadata(hit: Hit) -> dict[str, Any]:
    """The document's fields, and the hit's in plain types: docs/integrations.md lists them."""
    found = hit_fields(hit)
    own = dict(hit.metadata)
    taken = {name: value for name, value in own.items() if name in found}
    return {**own, **found, **({OVERRIDDEN: taken} if taken else {})}


def hit_fields(hit: Hit) -> dict[str, Any]:
    """Which chunk of which document it is, and how each leg scored it."""
    fields: dict[str, Any] = {
        "doc_id": hit.doc_id,
        "chunk_id": hit.chunk_id,
        "ordinal": hit.ordinal,
        "start": hit.start,
        "end": hit.end,
        "headings": list(hit.headings),
        "source": hit.source,
        "rank": hit.rank,
        "score": hit.score,
        "legs": {name: _leg(leg) for name, leg in hit.legs.items()},
    }
    if hit.matches:
        fields["matches"] = [dataclasses.asdict(match) for match in hit.matches]
    if hit.boosts:
        fields["boosts"] = [dataclasses.asdict(boost) for boost in hit.boosts]
    if hit.highlight is not None:
        fields["highlight"] = dataclasses.asdict(hit.highlight)
    if hit.section is not None:
        fields["section"] = dataclasses.asdict(hit.section)
    if hit.before is not None or hit.after is not None:
        fields |= {"before": hit.before, "after": hit.after}
    return fields


def _leg(leg: LegScore) -> dict[str, Any]:
    explained = {"normalized": leg.normalized, "weight": leg.weight, "contribution": leg.contribution}
    return {
        "score": leg.score,
        "rank": leg.rank,
        **{name: value for name, value in explained.items() if value is not None},
    }
