"""A thread that looks for new generations, so that no search has to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import Protocol

log = logging.getLogger(__name__)


class Looking(Protocol):
    """Something that moves on to new generations."""

    def look(self) -> bool:
        """Move on if there is a newer one; whether it did. Raises nothing."""


class Watcher:
    """Lets every holder look, again and again, until it is stopped."""

    def __init__(self, holders: Collection[Looking], seconds: float) -> None:
        self._holders, self._seconds = holders, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch generations", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the look that it may be at."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            for holder in self._holders:
                holder.look()
