"""Which of the ranked chunks are shown: at most one of each document."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.query.hits import Ranked
from pipeline.query.snapshot import Snapshot


def best_of_each_document(snapshot: Snapshot, ranked: Ranked) -> Ranked:
    """Only the first chunk of each document, in the same order."""
    seen: set[str] = set()
    kept = []
    for position in ranked.order.tolist():
        doc_id = snapshot.doc_id(int(ranked.ids[position]))
        if doc_id not in seen:
            seen.add(doc_id)
            kept.append(position)
    return dataclasses.replace(ranked, order=np.array(kept, np.int64))
