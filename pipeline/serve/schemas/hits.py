"""Hits as answers."""

from __future__ import annotations

import dataclasses

from pipeline.query.showing.source import shown_source
from pipeline.records import Highlight, Hit, LegScore
from pipeline.serve.schemas.search import (
    BoostAnswer,
    HighlightAnswer,
    HitAnswer,
    LegAnswer,
    MatchAnswer,
    SectionAnswer,
)


def hit_answer(hit: Hit) -> HitAnswer:
    """A hit as an answer has it."""
    return HitAnswer.of(
        rank=hit.rank,
        score=hit.score,
        chunk_id=hit.chunk_id,
        doc_id=hit.doc_id,
        ordinal=hit.ordinal,
        start=hit.start,
        end=hit.end,
        text=hit.text,
        headings=list(hit.headings),
        metadata=dict(hit.metadata),
        source=shown_source(hit.source),
        legs={name: _leg(leg) for name, leg in hit.legs.items()},
        matches=[
            MatchAnswer.of(
                token=match.token,
                query_weight=match.query_weight,
                passage_weight=match.passage_weight,
                contribution=match.contribution,
            )
            for match in hit.matches
        ],
        boosts=[BoostAnswer.of(boost=one.boost, factor=one.factor) for one in hit.boosts],
        section=None if hit.section is None else SectionAnswer(**dataclasses.asdict(hit.section)),
        highlight=None if hit.highlight is None else _highlight(hit.highlight),
        before=hit.before,
        after=hit.after,
    )


def _leg(leg: LegScore) -> LegAnswer:
    return LegAnswer.of(
        score=leg.score,
        rank=leg.rank,
        normalized=leg.normalized,
        weight=leg.weight,
        contribution=leg.contribution,
    )


def _highlight(found: Highlight) -> HighlightAnswer:
    return HighlightAnswer.of(
        spans=list(found.spans),
        text=found.text,
        marks=list(found.marks),
        cut_before=found.cut_before,
        cut_after=found.cut_after,
    )
