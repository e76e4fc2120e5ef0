"""What is wanted of a segment's indexes: which kind, and how exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

EXACT_KINDS = ("Flat", "SQfp16")
_EXACT_LIMIT = 250_000
_LARGE = 5_000_000


@dataclass(frozen=True, slots=True)
class DenseChoice:
    """What is wanted of dense indexes. `kind`: `auto` or a FAISS factory string. `recall_target`: share of the true
    ten nearest neighbours that an approximate one must find."""

    kind: str = "auto"
    recall_target: float = 0.98

    def settled(self, chunks: int, total: int | None = None) -> DenseChoice:
        """The choice for a segment of `chunks` rows in an index of `total` (by default just these).

        `auto` is exact fp16 up to 250,000 chunks, IVF over fp16 to five million, IVF over RaBitQ codes beyond.
        """
        if self.kind != "auto":
            return self
        total = max(chunks, total or 0)
        if total <= _EXACT_LIMIT or chunks < _EXACT_LIMIT // 10:
            return DenseChoice("SQfp16", self.recall_target)
        codes = "SQfp16" if total <= _LARGE else "RaBitQfs"
        return DenseChoice(f"IVF{4 * math.isqrt(chunks)},{codes}", self.recall_target)

    @property
    def identity(self) -> str:
        """What of it changes the files of a segment, or how they are searched."""
        return self.kind if self.kind in EXACT_KINDS else f"{self.kind} {self.recall_target}"


@dataclass(frozen=True, slots=True)
class LexicalChoice:
    """What is wanted of lexical indexes. `recall_target`: share of the exact leg's ten best that an approximate one
    must find."""

    kind: Literal["exact", "seismic"] = "exact"
    recall_target: float = 0.98

    @property
    def identity(self) -> str:
        """What of it changes the files of a segment, or how they are searched; empty for the exact leg."""
        if self.kind == "exact":
            return ""
        from pipeline.index.lexical import seismic

        return f"{self.kind} {seismic.version()} {self.recall_target}"


AUTO = DenseChoice()
EXACT = LexicalChoice()
