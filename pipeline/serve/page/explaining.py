"""How scores came about, as bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.serve.page.views import Bar, BoostView, Explanation, LegView, TokenView, TrustView
from pipeline.serve.page.words import Words
from pipeline.serve.schemas.search import HitAnswer, TrustAnswer

_TOKENS = 12


def explanations(hits: Sequence[HitAnswer], words: Words) -> list[Explanation]:
    """Of each hit, every leg's part in its score; all bars have one scale, so that they can be compared."""
    parts = [leg.contribution or 0.0 for hit in hits for leg in hit.legs.values()]
    low, high = min([0.0, *parts]), max([0.0, *parts])
    return [_explanation(hit, low, (high - low) or 1.0, words) for hit in hits]


def trusts(found: Iterable[TrustAnswer], words: Words) -> tuple[TrustView, ...]:
    """How far each leg was trusted, as bars of the largest weight."""
    listed = list(found)
    most = max((one.weight for one in listed), default=0.0) or 1.0
    return tuple(
        TrustView(
            one.leg, words.leg_name(one.leg), f"{one.weight:.2f}", one.words, _bar(0.0, one.weight, 0.0, most)
        )
        for one in listed
    )


def _explanation(hit: HitAnswer, low: float, width: float, words: Words) -> Explanation:
    legs = tuple(
        LegView(
            leg=name,
            name=words.leg_name(name),
            rank=words.beyond if leg.rank is None else words.place.format(leg.rank),
            score=f"{leg.score:.3f}",
            weight="–" if leg.weight is None else f"{leg.weight:.2f}",
            contribution="–" if leg.contribution is None else f"{leg.contribution:+.3f}",
            bar=_bar(0.0, leg.contribution or 0.0, low, width),
        )
        for name, leg in hit.legs.items()
    )
    tokens = tuple(TokenView(one.token, f"{one.contribution:.2f}") for one in hit.matches[:_TOKENS])
    boosts = tuple(BoostView(one.boost, f"{one.factor:.2f}") for one in hit.boosts)
    return Explanation(legs, tokens, boosts, f"{hit.score:.3f}", f"{abs(low) / width:.2%}")


def _bar(start: float, end: float, low: float, width: float) -> Bar:
    left, right = min(start, end), max(start, end)
    return Bar(f"{(left - low) / width:.2%}", f"{(right - left) / width:.2%}", end < start)
