"""Which components a segment may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.index.columns.component import COLUMNS
from pipeline.index.components.contract import Component
from pipeline.index.components.rows import Place, SegmentShape
from pipeline.index.dense.component import DENSE
from pipeline.index.lexical.approximate import SEISMIC
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.multivector.component import MULTIVECTORS
from pipeline.index.rows.component import ROWS
from pipeline.index.words.component import WORDS

_COMPONENTS: list[Component[Any]] = [DENSE, LEXICAL, SEISMIC, MULTIVECTORS, ROWS, COLUMNS, WORDS]
"""In the order in which they are written: a derived one follows what it is derived from."""


def components() -> tuple[Component[Any], ...]:
    """Return every component, in the order in which they are written."""
    return tuple(_COMPONENTS)


def register(component: Component[Any]) -> None:
    """Add a component to every segment that is written, opened, checked and repaired from now on by this process.

    Raises `ValueError` if its name, or one of its files, is taken.
    """
    for other in _COMPONENTS:
        if other.name == component.name or set(other.file_names) & set(component.file_names):
            raise ValueError(f"{component.name}: the component {other.name} has this name, or a file of it")
    _COMPONENTS.append(component)


def unregister(component: Component[Any]) -> None:
    """Take a component away again; its files stay in the segments that have them."""
    _COMPONENTS.remove(component)


def identities(shape: SegmentShape) -> list[str]:
    """Return what makes segments of the same chunks and fingerprints differ."""
    found = (component.identity(shape) for component in _COMPONENTS)
    return [identity for identity in found if identity is not None]


def settled(shape: SegmentShape, count: int, total: int, merged: Sequence[Place] = ()) -> SegmentShape:
    """Return the shape of a segment of `count` chunks in an index of `total`; `merged`: what it is made of."""
    for component in _COMPONENTS:
        shape = component.settled(shape, count, total, merged)
    return shape


def stored() -> tuple[str, ...]:
    """Return the names of the components with rows of their own, each of which has a fingerprint."""
    return tuple(component.name for component in _COMPONENTS if not component.is_derived)
