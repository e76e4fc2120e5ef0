"""Masks of conditions that were asked before, as many as a number of bytes holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from pipeline.forking import Lock
from pipeline.index.segment import Mask


class MaskCache:
    """The masks used last, by condition, for any number of threads. Memory: at most `capacity` bytes."""

    def __init__(self, capacity: int) -> None:
        self._capacity, self._held = capacity, 0
        self._masks: OrderedDict[str, list[Mask]] = OrderedDict()
        self._lock = Lock()

    def get(self, condition: str) -> list[Mask] | None:
        """The masks of a condition, `None` if they are not kept."""
        with self._lock:
            found = self._masks.get(condition)
            if found is None:
                return None
            self._masks.move_to_end(condition)
            return list(found)

    def put(self, condition: str, masks: Sequence[Mask]) -> None:
        """Keep masks, and let those go that were not used for longest. The masks can't be written to any more."""
        size = _bytes(condition, masks)
        for mask in masks:
            mask.flags.writeable = False
        with self._lock:
            if condition in self._masks or size > self._capacity:
                return
            self._masks[condition] = list(masks)
            self._held += size
            while self._held > self._capacity:
                self._held -= _bytes(*self._masks.popitem(last=False))


def _bytes(condition: str, masks: Sequence[Mask]) -> int:
    return 4 * len(condition) + sum(mask.nbytes for mask in masks)
