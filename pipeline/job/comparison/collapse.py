"""Whether a generation finds its own passages far worse than the live one did: a test that noise does not fail.

Each leg is judged by the mean reciprocal rank of known items (`evaluate/known_items.py`): over all of them and for
every script; over passages that both generations hold, pair by pair, and over those of new segments against all of
the live generation. Two more shares tell of the texts themselves: how many chunks have words enough to be asked
for, and how many of those say something that no other document says.

A share has collapsed if it lies below `ratio` of the live one by more than `CONFIDENCE` standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluate.known_items import KnownItem, KnownItems

CONFIDENCE = 3.5
"""Standard errors: one chance in 4,000 on each side where the truth lies at the threshold itself, none in practice
where it lies far from it, as on every honest night."""
LEAST_QUERIES = 20
"""With fewer passages a share says nothing."""
FLOOR = 0.1
"""A leg that lies below finds nothing to speak of: it cannot fall, and an index with no other leg is useless."""
KEPT, NEW, WORDED, OWN = "kept", "new", "worded", "own"


@dataclass(frozen=True, slots=True)
class Compared:
    """One share of this generation and of the live one; `before` is `None` where there is none to compare with.

    `what`: `kept` or `new` passages of a leg, or `worded` and `own` of the texts, which have no leg. `script`: ""
    stands for all. `margin`: what noise may take away or add. `collapsed`: the verdict.
    """

    what: str
    leg: str
    script: str
    queries: int
    now: float
    before: float | None = None
    margin: float = 0.0
    collapsed: bool = False

    @property
    def name(self) -> str:
        """What was compared, in words."""
        match self.what:
            case "worded":
                return "chunks with words enough to be asked for"
            case "own":
                return "passages that say what no other document says"
        return f"{self.leg} leg, {self.what} passages{f' in {self.script}' if self.script else ''}"


@dataclass(frozen=True, slots=True)
class Known:
    """What was measured of known items: over the whole generation, its new segments, and the live generation."""

    now: KnownItems
    new: KnownItems
    before: KnownItems | None = None


def compared(known: Known, ratio: float) -> tuple[Compared, ...]:
    """Compare a generation with the live one, or a first one with the floor. `ratio`: below which share of what the
    live one found it has collapsed; 0 never judges."""
    return (*_legs(known, ratio), *_texts(known, ratio))


def lines(comparisons: Sequence[Compared], ratio: float) -> Iterator[str]:
    """Say of each collapse what fell; of several of one leg only the one that was measured by most queries."""
    said: set[tuple[str, str]] = set()
    for one in sorted((c for c in comparisons if c.collapsed), key=lambda c: -c.queries):
        kind = (one.leg or one.what, one.what)
        if kind in said:
            continue
        said.add(kind)
        if one.before is None:
            yield f"no leg finds passages by their own words: {one.leg}: {one.now:.2f}, below {FLOOR:g}"
        else:
            yield (
                f"{one.name}: {one.now:.2f} where the live generation had {one.before:.2f} "
                f"({one.queries:,} queries without labels), below gate.min_known_item_ratio={ratio:g}"
            )


def _legs(known: Known, ratio: float) -> Iterator[Compared]:
    before = known.before
    scripts = ("", *sorted({one.script for one in known.now.items}))
    if before is None:
        shares = [
            (leg, script, _ranks(known.now.items, leg, script)) for leg in known.now.legs for script in scripts
        ]
        judged = [(leg, script, ranks) for leg, script, ranks in shares if len(ranks) >= LEAST_QUERIES]
        useless = bool(ratio and judged) and all(
            ranks.mean() + CONFIDENCE * _error(ranks) < FLOOR for _, script, ranks in judged if not script
        )
        for leg, script, ranks in judged:
            margin = CONFIDENCE * _error(ranks)
            yield Compared(KEPT, leg, script, len(ranks), float(ranks.mean()), None, margin, useless and not script)
        return
    earlier = {one.key: one for one in before.items}
    for leg in known.now.legs:
        if leg not in before.legs:
            continue
        for script in scripts:
            pairs = [
                (one.ranks[leg], earlier[one.key].ranks[leg])
                for one in known.now.items
                if one.key in earlier and script in ("", one.script)
            ]
            if len(pairs) >= LEAST_QUERIES:
                now, was = np.array(pairs).T
                yield _judged(KEPT, leg, script, now, was, _error(now - ratio * was), ratio)
            now, was = _ranks(known.new.items, leg, script), _ranks(before.items, leg, script)
            if min(len(now), len(was)) >= LEAST_QUERIES:
                error = math.hypot(_error(now), ratio * _error(was))
                yield _judged(NEW, leg, script, now, was, error, ratio)


def _texts(known: Known, ratio: float) -> Iterator[Compared]:
    if known.before is None:
        return
    for what, now, was in (
        (WORDED, _flags(known.now.worded, known.now.drawn), _flags(known.before.worded, known.before.drawn)),
        (
            OWN,
            np.array([float(one.is_own) for one in known.now.items]),
            np.array([float(one.is_own) for one in known.before.items]),
        ),
    ):
        if min(len(now), len(was)) >= LEAST_QUERIES:
            error = math.hypot(_error(now), ratio * _error(was))
            yield _judged(what, "", "", now, was, error, ratio)


def _judged(
    what: str,
    leg: str,
    script: str,
    now: np.ndarray[tuple[int], np.dtype[np.float64]],
    was: np.ndarray[tuple[int], np.dtype[np.float64]],
    error: float,
    ratio: float,
) -> Compared:
    value, before, margin = float(now.mean()), float(was.mean()), CONFIDENCE * error
    collapsed = before >= FLOOR and value + margin < ratio * before
    return Compared(what, leg, script, len(now), value, before, margin, collapsed)


def _flags(ones: int, total: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.repeat([1.0, 0.0], [ones, max(total - ones, 0)])


def _ranks(items: Sequence[KnownItem], leg: str, script: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([one.ranks[leg] for one in items if script in ("", one.script)], np.float64)


def _error(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """The standard error of a mean. That values are all alike does not make it certain: one more, the least alike,
    is counted with them."""
    if not len(values):
        return math.inf
    middle = float(values.mean())
    unlike = max(abs(middle), abs(1 - middle)) if float(values.std()) == 0 else 0.0
    spread = float(np.sum((values - middle) ** 2)) + unlike**2
    return math.sqrt(spread / len(values)) / math.sqrt(len(values))
