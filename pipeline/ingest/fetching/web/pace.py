"""How soon a host may be asked again."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """Keeps requests to one host apart."""

    def __init__(
        self, requests_per_second: float, sleep: Callable[[float], object], clock: Callable[[], float]
    ) -> None:
        self._seconds = 1.0 / requests_per_second
        self._sleep, self._clock = sleep, clock
        self._slower: dict[str, float] = {}
        self._next: dict[str, float] = {}

    def slow(self, origin: str, seconds: float) -> None:
        """Leave at least so many seconds between two requests to this host."""
        self._slower[origin] = seconds

    def now(self) -> float:
        """Seconds on the clock of `due`."""
        return self._clock()

    def due(self, origin: str) -> float:
        """When the host may be asked; in the past if it may be now."""
        return self._next.get(origin, 0.0)

    def wait(self, origin: str) -> None:
        """Return when the host may be asked. One thread at a time may wait for a host."""
        now = self._clock()
        due = self._next.get(origin, now)
        if due > now:
            self._sleep(due - now)
        self._next[origin] = max(due, now) + max(self._seconds, self._slower.get(origin, 0.0))
