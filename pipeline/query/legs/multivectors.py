"""Multi-vectors: they find no candidates, and score those of the other legs by late interaction."""

from __future__ import annotations

import numpy as np

from pipeline.index.multivector.component import MULTIVECTORS
from pipeline.query.snapshot import Ids, Snapshot
from pipeline.records import Float32


def are_stored(snapshot: Snapshot) -> bool:
    """Whether every chunk's token-level vectors are stored."""
    return all(MULTIVECTORS.is_in(segment.entry) for segment in snapshot.segments)


def late_interaction_of(snapshot: Snapshot, query: Float32, ids: Ids) -> Float32:
    """Score given chunks by their stored vectors. `query`: float32 (tokens, d)."""
    result = np.zeros(len(ids), np.float32)
    for number, inside, ordinals in snapshot.by_segment(ids):
        result[inside] = snapshot.segments[number].open(MULTIVECTORS).scores(query, ordinals)
    return result
