"""Trials on an open index: sample chunks, ask for each with a window cut out of it, learn the fusion's weights."""

from __future__ import annotations

import dataclasses
import functools
import heapq
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.index.segment import Segment
from pipeline.query.fusion.calibration import LEAST_TRIALS, Calibration, calibrate
from pipeline.query.fusion.evidence import Trial
from pipeline.query.fusion.pseudo_queries import PseudoQuery, cut_window, seed_of
from pipeline.query.snapshot import BACKGROUND, Ids, Snapshot
from pipeline.records import in_context

if TYPE_CHECKING:
    from pipeline.query.searcher import Index

MOST_TRIALS = 250
TRIAL_SHARE = 0.035
"""Pseudo-queries: this share of the chunks, but at least `LEAST_TRIALS` for each script that is common enough, and
at most `MOST_TRIALS`. Each costs the encoding of a passage and of a short query, about 1.3 chunks, so that all of
them stay below 5% of encoding the collection. A script with fewer than some 550 chunks needs more, but no longer
than encoding 26 chunks takes."""
DEPTH = 100
"""How many of each leg's best are a pseudo-query's candidates."""
POOL, LEAST_POOL = 4, 200
"""Chunks looked at for each pseudo-query wanted, and in all, so that every script of a collection gets its turn."""
STALE_CHANGE = 0.2
"""A calibration is made anew when the number of chunks has changed by more than this share."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A pseudo-query and the number of the chunk that it was cut out of."""

    number: int
    query: PseudoQuery


def is_stale(calibration: Calibration | None, chunks: int) -> bool:
    """Whether an index that now holds `chunks` needs a calibration: it has none, or has grown or shrunk much."""
    return calibration is None or abs(chunks - calibration.chunks) > STALE_CHANGE * calibration.chunks


def calibrate_index(index: Index, seed: int = 0) -> Calibration | None:
    """Calibrate the fusion of an open index; `None` if it has only one leg.

    The same chunks give the same calibration whatever segments they are in. Short texts give half of their words as
    the window; where fewer than `LEAST_TRIALS` windows can be cut in a script (texts of fewer than four words, a
    tiny collection) it has no weights of its own. Raises `EncoderError`.
    """
    if len(index.legs) < 2:
        return None
    snapshot = index.snapshot
    chunks = index.manifest.chunks
    wanted = trials_wanted(chunks)
    drawn = sample(snapshot, max(POOL * wanted, LEAST_POOL), seed)
    samples = balanced(drawn, wanted)
    background = np.array([one.number for one in drawn[:BACKGROUND]], np.int64)
    trials = _trials(index, samples, background) if samples else ()
    return calibrate(index.legs, trials, chunks, index.manifest.fingerprints)


def trials_wanted(chunks: int) -> int:
    """How many pseudo-queries an index of this size is asked."""
    return min(max(int(TRIAL_SHARE * chunks), LEAST_TRIALS), MOST_TRIALS)


def sample(snapshot: Snapshot, count: int, seed: int, segments: Collection[int] | None = None) -> list[Sample]:
    """Pseudo-queries of up to `count` live chunks, in an order that depends only on chunk ids and the seed.

    `segments`: by number, of which chunks are drawn; `None`: all.
    """
    starts = itertools.accumulate((segment.chunks for segment in snapshot.segments), initial=0)
    keys = (
        (seed_of(f"{seed}/{chunk_id}"), start + ordinal)
        for number, (segment, start) in enumerate(zip(snapshot.segments, starts, strict=False))
        if segments is None or number in segments
        for ordinal, chunk_id in _live(segment)
    )
    chosen = heapq.nsmallest(count, keys)
    # Ascending numbers read a file in its order; then back into the drawn order.
    cut = {number: _cut(snapshot, number, seed) for number in sorted(number for _, number in chosen)}
    return [Sample(number, query) for _, number in chosen if (query := cut[number]) is not None]


def _live(segment: Segment) -> Iterator[tuple[int, str]]:
    for ordinal, chunk_id in enumerate(segment.store.column("chunk_id")):
        if segment.deleted is None or not segment.deleted[ordinal]:
            yield ordinal, str(chunk_id)


def _cut(snapshot: Snapshot, number: int, seed: int) -> PseudoQuery | None:
    chunk = snapshot.chunk(number)
    found = cut_window(chunk.text, f"{seed}/{chunk.chunk_id}")
    if found is None or not chunk.context:
        return found
    return dataclasses.replace(found, passage=in_context(chunk.context, found.passage))


def balanced(samples: Sequence[Sample], count: int) -> list[Sample]:
    """About `count` samples, the scripts in turn, so that a script of few chunks still has enough to learn from.

    Scripts that would not reach `LEAST_TRIALS` are left out; with many scripts there may be more than `count`.
    """
    groups: dict[str, list[Sample]] = {}
    for one in samples:
        groups.setdefault(one.query.script, []).append(one)
    groups = {script: groups[script] for script in sorted(groups) if len(groups[script]) >= LEAST_TRIALS}
    turns = itertools.zip_longest(*groups.values())
    return [one for turn in turns for one in turn if one is not None][: max(count, LEAST_TRIALS * len(groups))]


def _trials(index: Index, samples: Sequence[Sample], background: Ids) -> Iterator[Trial]:
    snapshot = index.snapshot
    queries = index.encode([one.query.text for one in samples])
    passages = index.encoder.encode_documents([one.query.passage for one in samples])
    legs = [index.leg(name) for name in index.legs]
    prepared = [each for leg in legs if (each := leg.prepare(queries)) is not None]
    if len(prepared) < len(legs):
        return
    rankings = [leg.candidates(each, DEPTH) for leg, each in zip(legs, prepared, strict=True)]
    for i, one in enumerate(samples):
        ids = _others(snapshot, functools.reduce(np.union1d, [ranking[i].ids for ranking in rankings]), one.number)
        sides = [(leg, each[i]) for leg, each in zip(legs, prepared, strict=True)]
        units = np.array([leg.unit(query) for leg, query in sides])
        scores = np.array([leg.scores(query, np.append(ids, one.number)) for leg, query in sides])
        scores /= np.where(units > 0, units, 1.0)[:, None]
        target = np.array([leg.passage_score(query, passages, i) for leg, query in sides])
        measured = [
            np.zeros(1) if unit > 0 else leg.scores(query, background)
            for (leg, query), unit in zip(sides, units, strict=True)
        ]
        yield Trial(
            one.query.script,
            scores[:, :-1],
            target / np.where(units > 0, units, 1.0),
            scores[:, -1],
            np.array([values.std() for values in measured]),
            np.array([values.mean() for values in measured]),
            one.query.is_short,
        )


def _others(snapshot: Snapshot, ids: Ids, number: int) -> Ids:
    """Without the chunks of the same document: overlaps repeat the window, and neighbours may answer as well."""
    doc_id = snapshot.doc_id(number)
    return np.array([other for other in ids.tolist() if snapshot.doc_id(other) != doc_id], np.int64)
