"""Which segments of a generation a shard has: the same for everybody who reads the manifest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.arguments import shown
from pipeline.errors import ConfigError, QueryError
from pipeline.index.manifest import Manifest
from pipeline.query.snapshot import Ids

_SHARE = re.compile(r"(0|[1-9]\d{0,3})/([1-9]\d{0,3})")


@dataclass(frozen=True, slots=True)
class Share:
    """Part `number` of `of`, counted from 0, as shares of an encoding are."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parsed(cls, text: str) -> Share:
        """Read `i/n`. Raises `ConfigError`."""
        found = _SHARE.fullmatch(text)
        if found is None or int(found[1]) >= int(found[2]):
            raise ConfigError(f"shard {shown(text)}: give i/n, such as 0/3, 1/3 and 2/3")
        return cls(int(found[1]), int(found[2]))

    def segments_of(self, manifest: Manifest) -> list[int]:
        """The places of this share's segments in the manifest, ascending."""
        return [place for place, owner in enumerate(owners(manifest, self.of)) if owner == self.number]


def owners(manifest: Manifest, shares: int) -> list[int]:
    """For each segment the share that has it, counted from 0.

    The largest goes first, each to the share with the fewest chunks by then; the first of equal ones.
    """
    found = [0] * len(manifest.segments)
    loads = [0] * shares
    sizes = [entry.chunks for entry in manifest.segments]
    for place in sorted(range(len(sizes)), key=lambda place: (-sizes[place], place)):
        found[place] = min(range(shares), key=lambda share: (loads[share], share))
        loads[found[place]] += sizes[place]
    return found


class Numbering:
    """Chunks' numbers in a share, and in the index: of the share's first chunk, of the whole's first."""

    def __init__(self, manifest: Manifest, own: Sequence[int]) -> None:
        """`own`: places of the share's segments, ascending."""
        sizes = np.array([entry.chunks for entry in manifest.segments], np.int64)
        places = np.array(own, np.int64)
        self._sizes = sizes[places]
        self._outer = (np.cumsum(sizes) - sizes)[places]
        self._inner = np.cumsum(self._sizes) - self._sizes

    def outer(self, ids: Ids) -> Ids:
        """The numbers in the index of chunks that the share numbers so."""
        place = np.searchsorted(self._inner, ids, side="right") - 1
        found: Ids = ids - self._inner[place] + self._outer[place] if len(ids) else ids
        return found

    def inner(self, ids: Ids) -> Ids:
        """The reverse. Raises `QueryError` for a chunk that is none of the share's."""
        if not len(ids):
            return ids
        place = np.searchsorted(self._outer, ids, side="right") - 1
        if not len(self._sizes) or place.min() < 0 or (ids - self._outer[place] >= self._sizes[place]).any():
            raise QueryError("chunks: some are none of this shard's")
        found: Ids = ids - self._outer[place] + self._inner[place]
        return found
