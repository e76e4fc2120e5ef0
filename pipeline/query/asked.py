"""What may be asked of an index; refused before anything is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from pipeline.config import FusionSettings, RerankSettings
from pipeline.errors import QueryError

MODES = ("hybrid", "dense", "lexical")


class SearchOptions(TypedDict, total=False):
    """The keyword arguments of `Index.search`, which are those of `Index.search_many`."""

    fusion: FusionSettings | str | None
    collapse: bool
    explain: bool
    where: str | None
    rerank: RerankSettings | str | None
    rerank_top: int | None
    distinct: float | None
    context: int


def wanted_legs(path: Path, legs: Sequence[str], texts: object, k: object, mode: str) -> tuple[str, ...]:
    """The legs of `mode`, which the index at `path` has. Raises `QueryError` for what cannot be asked."""
    if isinstance(texts, str) or not isinstance(texts, Sequence | np.ndarray):
        raise QueryError(
            f"search_many takes a list of queries, not {type(texts).__name__}; `search` takes one text"
        )
    if not isinstance(k, int | np.integer) or isinstance(k, bool):
        raise QueryError(f"k={k!r}: give a whole number of hits")
    if k < 1:
        raise QueryError(f"k={k}: ask for at least one hit")
    if mode not in MODES:
        raise QueryError(f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    for number, text in enumerate(texts, 1):
        name = "the query" if len(texts) == 1 else f"query {number}"
        if not isinstance(text, str):
            raise QueryError(f"{name} is no text, but {type(text).__name__}")
        if not text.strip():
            raise QueryError(f"{name} is empty")
    wanted = tuple(legs) if mode == "hybrid" else (mode,)
    if missing := set(wanted) - set(legs):
        raise QueryError(f"{path}: this index has no {missing.pop()} leg; it has: {', '.join(legs)}")
    return wanted
