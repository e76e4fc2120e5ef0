"""What a front was told last, so that it need not ask again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from pipeline.forking import Lock

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Values by key, those that came last. For any number of threads."""

    def __init__(self, most: int) -> None:
        """`most`: how many to keep."""
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, keys: Iterable[K], ask: Callable[[Sequence[K]], Mapping[K, V]]) -> dict[K, V]:
        """The values of keys; `ask` gives those that are not known. Raises what it raises."""
        wanted = list(dict.fromkeys(keys))
        with self._lock:
            known = {key: self._values[key] for key in wanted if key in self._values}
        new = [key for key in wanted if key not in known]
        if new:
            found = ask(new)
            self.put(found)
            known |= found
        return known

    def put(self, found: Mapping[K, V]) -> None:
        """Keep what was told."""
        with self._lock:
            self._values.update(found)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
