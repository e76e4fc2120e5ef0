"""An open index that moves on to new generations while it is searched.

Whoever searches holds the generation it began with. A new one is opened and searched once beside it, then takes its
place for those who come later; the old one is closed when the last of its holders is done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.errors import (
    CorruptIndexError,
    EncoderError,
    IncompatibleIndexError,
    IndexNotFoundError,
    PipelineError,
)
from pipeline.index import manifest as manifests
from pipeline.query.access import ALL_GROUPS, Groups
from pipeline.query.searcher import Index
from pipeline.serve.guard.gate import CALLER
from pipeline.serve.metrics import Metrics

log = logging.getLogger(__name__)

RETRY_LOOKS = 12
"""A generation that was refused is tried again every so many looks: it may have been repaired."""
_WARM_UP = "warm up"


@dataclass(frozen=True, slots=True)
class Refused:
    """A newer generation that could not be taken, and why, in words that name no file."""

    generation: int | None
    reason: str


class _Held:
    """A generation and how many hold it. The holder itself is one of them until the next takes its place."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.holders = 1


class IndexHolder:
    """One index, always at a generation that answers. For any number of threads."""

    def __init__(self, name: str, index: Index, metrics: Metrics) -> None:
        self.name, self.path = name, index.path
        self.refused: Refused | None = None
        self._metrics = metrics
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._held: _Held | None = _Held(index)
        self._open = 1
        self._looks = 0
        self._tell(index)

    @contextmanager
    def lent(self, groups: Groups | None = None) -> Iterator[Index]:
        """The index at one generation, for as long as this lasts, as readers with these groups see it.

        By default as the caller whose request this is sees it, and outside of a request as nobody in particular.
        """
        with self._lock:
            held = self._held
            if held is None:
                raise RuntimeError(f"{self.name} was closed")
            held.holders += 1
        try:
            yield held.index.for_groups(CALLER.get().groups if groups is None else groups)
        finally:
            self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        with self._lock:
            held.holders -= 1
            last = held.holders == 0
            self._open -= last
            self._metrics.open_generations.labels(self.name).set(self._open)
        if last:
            held.index.close()

    def look(self) -> bool:
        """Move on to the live generation if there is another; whether it did. Raises nothing."""
        with self._refreshing, self.lent(ALL_GROUPS) as now:
            newest = _newest(self.path)
            self._looks += 1
            if newest == now.manifest.generation:
                self._is_refused(None)
                return False
            known = self.refused
            if known is not None and known.generation == newest and self._looks % RETRY_LOOKS:
                return False
            try:
                fresh = now.refresh()
                if fresh is now:
                    return False
                _warm(fresh)
            except Exception as error:
                if known is None or known.generation != newest:
                    log.error("index %s goes on at generation %d: %s", self.name, now.manifest.generation, error)
                    self._metrics.refreshes.labels(self.name, "refused").inc()
                self._is_refused(Refused(newest, _in_words(error)))
                return False
            self._replace(fresh)
            return True

    def _replace(self, fresh: Index) -> None:
        with self._lock:
            old, self._held = self._held, _Held(fresh)
            self._open += 1
        self._is_refused(None)
        self._tell(fresh)
        self._metrics.refreshes.labels(self.name, "taken").inc()
        log.info("index %s: generation %d", self.name, fresh.manifest.generation)
        if old is not None:
            self._let_go(old)

    def _is_refused(self, refused: Refused | None) -> None:
        self.refused = refused
        self._metrics.refused.labels(self.name).set((refused.generation or 0) if refused else 0)

    def _tell(self, index: Index) -> None:
        manifest, metrics = index.manifest, self._metrics
        created = datetime.fromisoformat(manifest.created_at).timestamp()
        metrics.generation.labels(self.name).set(manifest.generation)
        metrics.chunks.labels(self.name).set(manifest.chunks)
        metrics.created.labels(self.name).set(created)
        metrics.age.labels(self.name).set_function(lambda: datetime.now().timestamp() - created)
        metrics.open_generations.labels(self.name).set(self._open)

    def close(self) -> None:
        """Lend it no more; who holds it goes on."""
        with self._refreshing, self._lock:
            held, self._held = self._held, None
        if held is not None:
            self._let_go(held)


def _newest(path: Path) -> int | None:
    try:
        return manifests.live_number(path) or None
    except OSError:
        return None


def _warm(index: Index) -> None:
    """Search once, so that the first who asks need not wait for files to be opened, and damage shows."""
    index.search(_WARM_UP, k=1, mode=None, rerank="none")


def _in_words(error: Exception) -> str:
    match error:
        case IncompatibleIndexError():
            return "built with another encoder or format"
        case CorruptIndexError():
            return "damaged"
        case IndexNotFoundError():
            return "gone"
        case EncoderError():
            return "its encoder cannot be used"
        case PipelineError():
            return "it cannot be searched"
    return "it cannot be opened"
