"""From ranked chunk numbers to hits: texts, component scores and, if asked, where the score comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.query.ranked import Ranked, Reranked, Side
from pipeline.query.showing.passage import whole_passage
from pipeline.query.showing.snippet import highlights
from pipeline.query.showing.words import QueryWords
from pipeline.query.snapshot import Ids, Snapshot
from pipeline.records import BoostFactor, Hit, LegScore, TokenMatch


def to_hits(
    snapshot: Snapshot,
    ranked: Ranked,
    tokens: Mapping[int, str] | None,
    context: int = 0,
    words: QueryWords | None = None,
) -> list[Hit]:
    """The hits of one query. `tokens`: readable form of its token ids, for an explanation; `None`: none wanted.

    `context`: how many neighbouring chunks before and after a hit give `Hit.before` and `Hit.after`. `words`: of
    the query, for `Hit.highlight`.
    """
    hits = []
    numbers = ranked.ids[ranked.order]
    snapshot.foresee(numbers, texts=True, around=context)
    explained = tokens is not None
    matches = _matches(ranked.sides, numbers, tokens) if tokens is not None else [()] * len(numbers)
    chunks = [snapshot.chunk(int(number)) for number in numbers]
    passages = [
        whole_passage(snapshot, int(number), chunk, ranked.sections.get(int(position)), context)
        for position, number, chunk in zip(ranked.order, numbers, chunks, strict=True)
    ]
    marked = [None] * len(passages) if words is None else highlights([one.text for one in passages], words)
    for place, (position, chunk, passage) in enumerate(zip(ranked.order, chunks, passages, strict=True)):
        legs = {c.name: _leg(ranked, row, int(position), explained) for row, c in enumerate(ranked.columns)}
        legs |= _second_look(ranked.reranked, int(position), explained)
        hits.append(
            Hit(
                rank=place + 1,
                score=float(ranked.scores[position]),
                chunk_id=chunk.chunk_id,
                doc_id=chunk.doc_id,
                ordinal=chunk.ordinal,
                start=passage.start,
                end=passage.end,
                text=passage.text,
                headings=chunk.headings,
                metadata=passage.metadata,
                source=chunk.source,
                legs=legs,
                matches=matches[place],
                before=passage.before,
                after=passage.after,
                highlight=marked[place],
                section=passage.section,
                boosts=_boosts(ranked, int(position)) if explained else (),
            )
        )
    return hits


def _boosts(ranked: Ranked, position: int) -> tuple[BoostFactor, ...]:
    if ranked.boosts is None:
        return ()
    factors = ranked.boosts.parts[:, position].tolist()
    return tuple(BoostFactor(text, factor) for text, factor in zip(ranked.boosts.texts, factors, strict=True))


def _leg(ranked: Ranked, row: int, position: int, explained: bool) -> LegScore:
    column, fused = ranked.columns[row], ranked.fused
    score, rank = float(column.scores[position]), int(column.ranks[position]) or None
    if not explained:
        return LegScore(score, rank)
    if ranked.reranked is not None and position in ranked.reranked.columns:
        return _reranked_leg(ranked.reranked, row, position, score, rank)
    if fused is None:
        return LegScore(score, rank, score, 1.0, score)
    normalized, contribution = fused.normalized[row, position], fused.contributions[row, position]
    return LegScore(score, rank, float(normalized), fused.weights[row], float(contribution))


def _second_look(reranked: Reranked | None, position: int, explained: bool) -> dict[str, LegScore]:
    """The reranker's own leg; none for a chunk that it did not look at."""
    if reranked is None or position not in reranked.columns:
        return {}
    at = reranked.columns[position]
    score, rank = float(reranked.raw[at]), int(reranked.ranks[at])
    if not explained:
        return {reranked.leg: LegScore(score, rank)}
    return {reranked.leg: _reranked_leg(reranked, len(reranked.weights) - 1, position, score, rank)}


def _reranked_leg(reranked: Reranked, row: int, position: int, score: float, rank: int | None) -> LegScore:
    at = reranked.columns[position]
    normalized, contribution = reranked.normalized[row, at], reranked.contributions[row, at]
    return LegScore(score, rank, float(normalized), reranked.weights[row], float(contribution))


def _matches(sides: Sequence[Side], numbers: Ids, tokens: Mapping[int, str]) -> list[tuple[TokenMatch, ...]]:
    found = [side.leg.matches_of(side.query, numbers, tokens) for side in sides]
    return [tuple(match for matches in of_one for match in matches) for of_one in zip(*found, strict=True)]
