"""Candidates in the order that boosts give them, as far as no other chunk can come between them."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.query.boosting.factors import Lifts, boosted, product_of
from pipeline.query.ranked import Boosted, Ranked
from pipeline.query.snapshot import Snapshot


class Lifting:
    """The boosts of one search over the chunks that it may find."""

    def __init__(self, snapshot: Snapshot, texts: tuple[str, ...], lifts: Lifts) -> None:
        """`texts`: the boosts."""
        self._snapshot, self._texts, self._lifts = snapshot, texts, lifts

    def lifted(self, ranked: Ranked) -> Ranked:
        """The candidates by boosted score, then by their better rank in some leg, then by chunk id.

        Only those stay in `order` that no chunk outside the candidates can overtake: `Ranked.unseen` under the
        largest factor among the others. One of equal score comes later, as every leg ranks it lower.
        """
        assert ranked.best_ranks is not None
        parts, rest = self._lifts.parts_and_rest(ranked.ids)
        product = product_of(parts)
        scores = boosted(ranked.scores.astype(np.float64), product)
        order = self._snapshot.order(ranked.ids, [-scores, ranked.best_ranks])
        is_sure = scores[order] >= _highest_unseen(ranked, rest)
        return dataclasses.replace(
            ranked,
            order=order[is_sure],
            scores=scores,
            boosts=Boosted(self._texts, parts, product),
        )

    def extended(self, ranked: Ranked) -> Ranked:
        """Candidates of which those that were added last are not boosted yet, with these boosted too."""
        assert ranked.boosts is not None
        known = len(ranked.boosts.product)
        added = self._lifts.parts(ranked.ids[known:])
        parts = np.concatenate([ranked.boosts.parts, added], axis=1)
        product = np.concatenate([ranked.boosts.product, product_of(added)])
        scores = ranked.scores.copy()
        scores[known:] = boosted(scores[known:], product[known:])
        return dataclasses.replace(ranked, scores=scores, boosts=Boosted(self._texts, parts, product))


def _highest_unseen(ranked: Ranked, rest: float) -> float:
    if rest == 0.0 or ranked.unseen == -np.inf:
        return -np.inf
    return float(boosted(np.array([ranked.unseen]), np.array([rest]))[0])
