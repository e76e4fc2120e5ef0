"""Candidates in the order that boosts give them, as far as no other chunk can come between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline.index.segment import Mask
from pipeline.query.boosting.factors import Factors, boosted
from pipeline.query.ranked import Boosted, Ranked
from pipeline.query.snapshot import Float64, Snapshot


class Lifting:
    """The boosts of one search over the chunks that it may find."""

    def __init__(self, snapshot: Snapshot, factors: Factors, kept: Sequence[Mask] | None) -> None:
        """`kept`: for each segment, what the filter leaves."""
        self._snapshot, self._factors = snapshot, factors
        gone = [
            np.zeros(segment.chunks, np.bool_) if mask is None else mask
            for segment, mask in zip(snapshot.segments, snapshot.excluded(kept), strict=True)
        ]
        self._allowed: Float64 = np.where(np.concatenate([np.zeros(0, np.bool_), *gone]), 0.0, factors.product)

    def lifted(self, ranked: Ranked) -> Ranked:
        """The candidates by boosted score, then by their better rank in some leg, then by chunk id.

        Only those stay in `order` that no chunk outside the candidates can overtake: `Ranked.unseen` under the
        largest factor among the others. One of equal score comes later, as every leg ranks it lower.
        """
        assert ranked.best_ranks is not None
        product = self._factors.product[ranked.ids]
        scores = boosted(ranked.scores.astype(np.float64), product)
        order = self._snapshot.order(ranked.ids, [-scores, ranked.best_ranks])
        is_sure = scores[order] >= self._highest_unseen(ranked)
        parts = self._factors.parts[:, ranked.ids]
        return dataclasses.replace(
            ranked,
            order=order[is_sure],
            scores=scores,
            boosts=Boosted(self._factors.texts, parts, product),
        )

    def extended(self, ranked: Ranked) -> Ranked:
        """Candidates of which those that were added last are not boosted yet, with these boosted too."""
        assert ranked.boosts is not None
        known = len(ranked.boosts.product)
        product = self._factors.product[ranked.ids]
        scores = ranked.scores.copy()
        scores[known:] = boosted(scores[known:], product[known:])
        parts = self._factors.parts[:, ranked.ids]
        return dataclasses.replace(ranked, scores=scores, boosts=Boosted(self._factors.texts, parts, product))

    def _highest_unseen(self, ranked: Ranked) -> float:
        others = self._allowed.copy()
        others[ranked.ids] = 0.0
        largest = float(others.max(initial=0.0))
        if largest == 0.0 or ranked.unseen == -np.inf:
            return -np.inf
        return float(boosted(np.array([ranked.unseen]), np.array([largest]))[0])
