"""Known items: passages that a generation must find by their own words, by leg and script. No labels are needed.

A window of words of a passage is the query, the passage as it is stored is the answer, and so is every passage that
says the window word for word. Chunks of the passage's own document do not count. A leg that works ranks the passage
near the top; one that is broken does not, whatever the collection is about.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.query.fusion.index_calibration import Sample, balanced, sample
from pipeline.query.fusion.pseudo_queries import seed_of
from pipeline.query.searcher import Index
from pipeline.query.snapshot import Ids

VERSION = 1
SEED = 1
"""Another than the calibration's, whose passages the weights have seen."""
QUERIES = 200
"""How many passages are asked for: enough for a script of a tenth of the collection to have twenty."""
POOL = 4
"""Chunks drawn for each passage wanted, so that every script gets its turn."""
DEPTH = 100
"""How many of a leg's best are looked at for what stands before a passage; one that is deeper has this rank."""


@dataclass(frozen=True, slots=True)
class KnownItem:
    """One passage. `key`: the same for the same passage of any generation; `is_own`: no other says the window.

    `ranks`: by leg, one over its rank (ties count half), 0 if it shares no word with its window there.
    """

    key: str
    script: str
    is_own: bool
    ranks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class KnownItems:
    """What a generation finds. `drawn`: chunks looked at; `worded` of them had words enough for a query."""

    drawn: int = 0
    worded: int = 0
    items: tuple[KnownItem, ...] = ()
    legs: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        rows = [[one.key, one.script, one.is_own, *(one.ranks[leg] for leg in self.legs)] for one in self.items]
        return {
            "version": VERSION,
            "drawn": self.drawn,
            "worded": self.worded,
            "legs": list(self.legs),
            "items": rows,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> KnownItems | None:
        """Read what `to_json` gave; `None` if there is none, or none that this version wrote."""
        if not data or data.get("version") != VERSION:
            return None
        try:
            legs = tuple(map(str, data["legs"]))
            items = tuple(
                KnownItem(str(key), str(script), bool(is_own), dict(zip(legs, map(float, ranks), strict=True)))
                for key, script, is_own, *ranks in data["items"]
            )
            return cls(int(data["drawn"]), int(data["worded"]), items, legs)
        except (KeyError, TypeError, ValueError):
            return None


def measure(index: Index, segments: Sequence[int] | None = None, queries: int = QUERIES) -> KnownItems:
    """Ask an open index for passages of its own, or of some of its segments by number.

    Which ones depends on their ids alone, so that two generations are asked for the same as far as they hold the
    same. Scripts with too few passages to tell are not asked for. Raises what encoding raises.
    """
    drawn = min(POOL * queries, _live(index, segments))
    found = sample(index.snapshot, drawn, SEED, segments)
    chosen = balanced(found, queries)
    items = _items(index, chosen) if chosen else ()
    return KnownItems(drawn, len(found), items, index.legs)


def _live(index: Index, segments: Sequence[int] | None) -> int:
    wanted = index.snapshot.segments if segments is None else [index.snapshot.segments[i] for i in segments]
    return sum(
        one.chunks if one.deleted is None else one.chunks - int(np.count_nonzero(one.deleted)) for one in wanted
    )


def _items(index: Index, samples: Sequence[Sample]) -> tuple[KnownItem, ...]:
    snapshot, encoded = index.snapshot, index.encode([one.query.text for one in samples])
    text_of = functools.lru_cache(maxsize=4096)(lambda number: _plain(snapshot.chunk(number).text))
    ranks: list[dict[str, float]] = [{} for _ in samples]
    shared = [False] * len(samples)
    for name in index.legs:
        leg = index.leg(name)
        queries = leg.prepare(encoded) or []
        rankings = leg.candidates(queries, DEPTH) if queries else []
        for i, (query, ranking) in enumerate(zip(queries, rankings, strict=True)):
            own = float(leg.scores(query, np.array([samples[i].number]))[0])
            scores = leg.scores(query, ranking.ids)
            as_good = ranking.ids[scores >= own]
            rivals = set(_others(index, as_good, samples[i].number))
            window = _plain(samples[i].query.text)
            answers = {number for number in rivals if window in text_of(number)}
            shared[i] = shared[i] or bool(answers)
            rivals -= answers
            above = sum(
                1.0 if score > own else 0.5
                for number, score in zip(ranking.ids.tolist(), scores.tolist(), strict=True)
                if number in rivals
            )
            ranks[i][name] = 1 / (1 + above) if own > 0 or leg.scores_all else 0.0
    return tuple(
        KnownItem(
            _key(index, one.number), one.query.script, not shared[i], {n: ranks[i].get(n, 0.0) for n in index.legs}
        )
        for i, one in enumerate(samples)
    )


def _others(index: Index, ids: Ids, number: int) -> list[int]:
    doc_id = index.snapshot.doc_id(number)
    return [other for other in ids.tolist() if other != number and index.snapshot.doc_id(other) != doc_id]


def _key(index: Index, number: int) -> str:
    chunk = index.snapshot.chunk(number)
    identity = "\0".join((chunk.chunk_id, chunk.context, chunk.text))
    return f"{seed_of(identity):016x}"


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
