"""Which of the ranked chunks are shown: one of each document, and none that repeats a better one."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from pipeline.query.ranked import Ranked
from pipeline.query.snapshot import Snapshot

SHINGLE_CHARACTERS = 5


def without_repeats(
    snapshot: Snapshot, ranked: Ranked, k: int, *, collapse: bool, distinct: float | None
) -> Ranked:
    """The best `k` that stay, in their order.

    `collapse`: only the first chunk of each document. `distinct`: no chunk whose similarity to a better one that
    stays is this or more (`Seen`). With both, a document whose best chunk repeats another's is left out as a whole.
    Greedy from the best, so that the first hits do not depend on k.
    """
    documents: set[str] = set()
    seen = Seen()
    kept: list[int] = []
    ahead = max(k, 1)
    for place, position in enumerate(ranked.order.tolist()):
        if len(kept) == k:
            break
        if place % ahead == 0:
            snapshot.foresee(ranked.ids[ranked.order[place : place + ahead]], texts=distinct is not None)
        number = int(ranked.ids[position])
        if collapse:
            doc_id = snapshot.doc_id(number)
            if doc_id in documents:
                continue
            documents.add(doc_id)
        if distinct is not None and not seen.add(snapshot.chunk(number).text, distinct):
            continue
        kept.append(position)
    return dataclasses.replace(ranked, order=np.array(kept, np.int64))


class Seen:
    """Texts by their shingles. Two texts are as similar as the share of all their shingles that both have."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._with: dict[str, list[int]] = {}

    def add(self, text: str, threshold: float) -> bool:
        """Add a text unless its similarity to one added before is `threshold` or more; whether it was added."""
        parts = shingles(text)
        shared = Counter(other for part in parts for other in self._with.get(part, ()))
        for other, common in shared.items():
            if common / (len(parts) + self._sizes[other] - common) >= threshold:
                return False
        for part in parts:
            self._with.setdefault(part, []).append(len(self._sizes))
        self._sizes.append(len(parts))
        return True


def shingles(text: str) -> frozenset[str]:
    """All runs of `SHINGLE_CHARACTERS` characters, case and white space folded; a shorter text is one of its own.

    Characters, not words: scripts without spaces are cut alike.
    """
    folded = " ".join(text.casefold().split())
    last = max(len(folded) - SHINGLE_CHARACTERS, 0)
    return frozenset(folded[i : i + SHINGLE_CHARACTERS] for i in range(last + 1))
