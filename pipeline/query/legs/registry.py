"""Which legs an index may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline import names
from pipeline.errors import QueryError
from pipeline.query.legs.contract import Leg
from pipeline.query.legs.dense import DenseLeg
from pipeline.query.legs.lexical import LexicalLeg
from pipeline.query.snapshot import Snapshot

Opener = Callable[[Snapshot], Leg[Any] | None]
"""Opens a leg over a snapshot; `None` if the index does not have it."""

_OPENERS: dict[str, Opener] = {
    names.DENSE: lambda snapshot: DenseLeg(snapshot) if snapshot.has(names.DENSE) else None,
    names.LEXICAL: lambda snapshot: LexicalLeg(snapshot) if snapshot.has(names.LEXICAL) else None,
}


def open_legs(snapshot: Snapshot) -> dict[str, Leg[Any]]:
    """Open the legs that a snapshot has, by name, in the order in which they are shown."""
    found = ((name, opener(snapshot)) for name, opener in _OPENERS.items())
    return {name: leg for name, leg in found if leg is not None}


def added_legs(snapshot: Snapshot) -> list[str]:
    """The legs of this snapshot that this program has registered, be it that they cannot be opened over it."""
    return [name for name, opener in _OPENERS.items() if name not in names.LEGS and _has(opener, snapshot)]


def _has(opener: Opener, snapshot: Snapshot) -> bool:
    try:
        return opener(snapshot) is not None
    except QueryError:
        return True


def register(name: str, opener: Opener) -> None:
    """Add a leg to every index that is opened from now on by this process. Raises `ValueError` for a taken name."""
    names.add_leg(name)
    _OPENERS[name] = opener


def unregister(name: str) -> None:
    """Take a leg away again, for indexes that are opened from now on."""
    names.remove_leg(name)
    del _OPENERS[name]
