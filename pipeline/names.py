"""Names of an index's parts, as they stand in manifests, settings, hits and reports."""

from __future__ import annotations

from typing import Literal

DENSE: Literal["dense"] = "dense"
LEXICAL: Literal["lexical"] = "lexical"
MULTIVECTOR: Literal["multivector"] = "multivector"
RERANKER: Literal["reranker"] = "reranker"
HYBRID: Literal["hybrid"] = "hybrid"

LEGS = (DENSE, LEXICAL)
"""The legs of every index that has vectors and lexical weights, in the order in which they are shown."""

MODES = (HYBRID, *LEGS)
"""All legs of an index together, or one of them."""

Mode = Literal["hybrid", "dense", "lexical"]

PAGES = ("page", "last_page")
LINES = ("line", "last_line")
"""Metadata that says where in a paged document, or in a file of code, a chunk begins and ends, counted from 1."""

_added: list[str] = []


def legs() -> tuple[str, ...]:
    """Return every leg that may find candidates."""
    return (*LEGS, *_added)


def add_leg(name: str) -> None:
    """Let settings name another leg. Raises `ValueError` if the name is taken."""
    if name in (*legs(), MULTIVECTOR, RERANKER, HYBRID):
        raise ValueError(f"{name}: there is such a leg already")
    _added.append(name)


def remove_leg(name: str) -> None:
    """Take the name of an added leg away again."""
    _added.remove(name)
