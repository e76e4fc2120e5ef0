"""What a search found, as numbers: the candidates in their order, and how each came by its place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.query.fusion.methods import Float64, Fused, LegColumn
from pipeline.query.legs.contract import Leg
from pipeline.query.snapshot import Ids


@dataclass(frozen=True, slots=True)
class Side:
    """A leg, and one query as it searches for it (`Leg.prepare`)."""

    leg: Leg[Any]
    query: Any


@dataclass(frozen=True, slots=True)
class Reranked:
    """What n chunks were scored on the second look, and what became of it.

    `leg`: `multivector` or `reranker`. `columns`: position in the candidates → column here. `raw`: float64 (n,),
    the reranker's scores; `ranks`: int64 (n,), 1-based, by them. `normalized`, `contributions`: float64
    (legs + 1, n), the reranker last; contributions add up to the score. `weights`: one for each of their rows.
    """

    leg: str
    columns: Mapping[int, int]
    raw: Float64
    ranks: npt.NDArray[np.int64]
    normalized: Float64
    contributions: Float64
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Boosted:
    """What boosts did to the candidates. `texts`: the boosts; `parts`: float64 (boosts, m), the factor of each;
    `product`: float64 (m,)."""

    texts: tuple[str, ...]
    parts: Float64
    product: Float64


@dataclass(frozen=True, slots=True)
class Section:
    """Chunks that follow each other under the same headings. `chunks`: their numbers; `hits`: how many were among
    the best."""

    chunks: tuple[int, ...]
    hits: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """One query's candidates.

    `ids`: chunk numbers in the snapshot; `order`: positions in `ids`, best first; `scores`: float64, one for each
    id; `fused`: how they came about, `None` with a single leg; `sides`: the legs with their queries;
    `reranked`: what became of those that were reranked, `None` without a reranker. `best_ranks`: int64, of each
    id in any leg. `unseen`: no chunk outside `ids` has a higher score before boosts. `boosts`: what they did.
    `sections`: by position in `ids`, those that stand in the place of their best chunk.
    """

    ids: Ids
    order: Ids
    scores: Float64
    columns: tuple[LegColumn, ...]
    fused: Fused | None
    sides: tuple[Side, ...]
    reranked: Reranked | None = None
    best_ranks: Ids | None = None
    unseen: float = math.inf
    boosts: Boosted | None = None
    sections: Mapping[int, Section] = field(default_factory=dict)

    def first(self, k: int) -> Ranked:
        """The best `k` of them."""
        return dataclasses.replace(self, order=self.order[:k])
