"""Indexes as long-lived programs hold them: lent for one answer, at the generation that is live then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar, runtime_checkable

from pipeline.errors import PipelineError
from pipeline.query.searcher import Index

T = TypeVar("T")

LOOK_SECONDS = 5.0

log = logging.getLogger(__name__)


class Lender(Protocol):
    """Holds an index. For any number of threads."""

    def lent(self) -> AbstractContextManager[Index]:
        """The index at one generation, for as long as this lasts."""


@runtime_checkable
class Answering(Lender, Protocol):
    """Holds an index that may move on while it is asked, or have shards that fail."""

    def answered(self, work: Callable[[Index], T]) -> tuple[T, tuple[str, ...]]:
        """What `work` makes of the index at one generation, and the names of shards that it had to do without."""


class Followed:
    """An index that moves on to the live generation, looking at most every `seconds`.

    A newer one that cannot be opened is told in the log, and the old one goes on. Those that were left are released
    with their last search.
    """

    def __init__(
        self, index: Index, seconds: float = LOOK_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._index, self._seconds, self._clock = index, seconds, clock
        self._looked = clock()
        self._looking = threading.Lock()
        self._refused = ""

    @contextmanager
    def lent(self) -> Iterator[Index]:
        """The index at the live generation."""
        self._look()
        yield self._index

    def _look(self) -> None:
        if self._clock() - self._looked < self._seconds or not self._looking.acquire(blocking=False):
            return
        try:
            self._index = self._index.refresh()
            self._refused = ""
        except PipelineError as error:
            if str(error) != self._refused:
                log.error("goes on at generation %d: %s", self._index.manifest.generation, error)
            self._refused = str(error)
        finally:
            self._looked = self._clock()
            self._looking.release()
