"""Multi-vectors: they find no candidates, and score those of the other legs by late interaction."""

from __future__ import annotations

from pipeline.index.multivector.component import MULTIVECTORS
from pipeline.query.snapshot import Snapshot


def are_stored(snapshot: Snapshot) -> bool:
    """Whether every chunk's token-level vectors are stored."""
    return all(MULTIVECTORS.is_in(entry) for entry in snapshot.manifest.segments)
