"""What changed between two generations: documents, chunks, and the first hits of queries, each with its causes.

A cause is told by evidence. The document itself is new, changed or gone; else its best chunk says the same in both,
and causes are that a leg scores that chunk otherwise (lexical: other idf or mean length; dense: another vector),
that the fusion was calibrated anew, and that documents which are new, changed or gone made place or took it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.index.manifest import Manifest
from pipeline.names import DENSE, LEXICAL
from pipeline.query.files.batch import Query
from pipeline.query.searcher import Index
from pipeline.query.showing.hits import to_hits
from pipeline.query.snapshot import Snapshot
from pipeline.records import Hit

FIRST = 10
"""Of how many documents a query's hits are compared."""
SAME = 1e-5
"""Scores that differ by less than this share are alike: a vector may be rounded otherwise in another segment."""
NEW, CHANGED, GONE = "new document", "document changed", "document deleted"
IDF, VECTOR, CALIBRATION = "idf", "vector", "calibration"
OTHERS = "others came or went"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many are only in the later generation, only in the earlier one, and in both with other content."""

    added: int
    deleted: int
    changed: int


@dataclass(frozen=True, slots=True)
class HitChange:
    """A document that came among the first hits or went. The rank is `None` where it was not among them."""

    doc_id: str
    before: int | None
    after: int | None
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueryChange:
    """A query whose first documents are others."""

    query_id: str
    text: str
    hits: tuple[HitChange, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two generations side by side. `asked`: how many queries; `queries`: those whose first documents are others.

    `changed_documents`: ids by kind of change, at most as many as were asked for of each. `others`: such queries
    that are not listed.
    """

    before: int
    after: int
    documents: Counts
    chunks: Counts
    changed_documents: Mapping[str, tuple[str, ...]]
    calibrated_anew: bool
    asked: int = 0
    queries: tuple[QueryChange, ...] = ()
    others: int = 0

    @property
    def causes(self) -> Mapping[str, int]:
        """How many hits came or went for each cause, the frequent ones first."""
        found = Counter(cause for query in self.queries for hit in query.hits for cause in hit.causes)
        return dict(found.most_common())


def difference(before: Index, after: Index, queries: Sequence[Query] = (), most: int = 20) -> Difference:
    """Compare two open generations of an index. `most`: document ids listed of each kind of change.

    Raises what searching raises.
    """
    old, new = _unshared(before.snapshot, after.snapshot), _unshared(after.snapshot, before.snapshot)
    documents, chunks, changes = _counted(old, new)
    return Difference(
        before=before.manifest.generation,
        after=after.manifest.generation,
        documents=documents,
        chunks=chunks,
        changed_documents={kind: tuple(sorted(ids)[:most]) for kind, ids in changes.items()},
        calibrated_anew=_calibration(before.manifest) != _calibration(after.manifest),
        asked=len(queries),
        queries=_query_changes(before, after, queries, changes),
    )


@dataclass(frozen=True, slots=True)
class _Content:
    """What one generation has and the other has not in the same segment: hashes by document and by chunk."""

    documents: dict[str, str]
    chunks: dict[str, str]


def _unshared(snapshot: Snapshot, other: Snapshot) -> _Content:
    shared = {one.entry.segment_id: one for one in other.segments}
    found = _Content({}, {})
    for segment in snapshot.segments:
        alive = np.ones(segment.chunks, np.bool_) if segment.deleted is None else ~segment.deleted
        twin = shared.get(segment.entry.segment_id)
        if twin is not None:
            alive &= np.zeros(segment.chunks, np.bool_) if twin.deleted is None else twin.deleted
        if not alive.any():
            continue
        table = segment.store.columns(["chunk_id", "doc_id", "doc_hash"])
        columns = (table[name].to_pylist() for name in ("chunk_id", "doc_id", "doc_hash"))
        for is_alive, chunk_id, doc_id, doc_hash in zip(alive.tolist(), *columns, strict=True):
            if is_alive:
                found.documents[doc_id] = found.chunks[chunk_id] = doc_hash
    return found


def _counted(old: _Content, new: _Content) -> tuple[Counts, Counts, dict[str, set[str]]]:
    changes = {
        NEW: set(new.documents) - set(old.documents),
        CHANGED: {
            doc_id for doc_id, doc_hash in new.documents.items() if old.documents.get(doc_id, doc_hash) != doc_hash
        },
        GONE: set(old.documents) - set(new.documents),
    }
    documents = Counts(*(len(changes[kind]) for kind in (NEW, GONE, CHANGED)))
    both = old.chunks.keys() & new.chunks.keys()
    chunks = Counts(
        len(new.chunks) - len(both),
        len(old.chunks) - len(both),
        sum(old.chunks[one] != new.chunks[one] for one in both),
    )
    return documents, chunks, changes


def _calibration(manifest: Manifest) -> Mapping[str, Any]:
    return manifest.statistics.calibration or {}


def _query_changes(
    before: Index, after: Index, queries: Sequence[Query], changes: Mapping[str, set[str]]
) -> tuple[QueryChange, ...]:
    texts = [one.text for one in queries]
    if not texts:
        return ()
    found = []
    was, now = (
        [to_hits(index.snapshot, ranked, None) for ranked in index.rank(texts, FIRST, collapse=True)]
        for index in (before, after)
    )
    evidence = _Evidence(before, after, texts, changes)
    for i, query in enumerate(queries):
        old, new = was[i], now[i]
        known = {hit.doc_id for hit in old}
        gone = known - {hit.doc_id for hit in new}
        if len(old) == len(new) and not gone:
            continue
        came = [
            HitChange(hit.doc_id, None, hit.rank, evidence.causes(i, hit)) for hit in new if hit.doc_id not in known
        ]
        left = [HitChange(hit.doc_id, hit.rank, None, evidence.causes(i, hit)) for hit in old if hit.doc_id in gone]
        hits = (*_displaced(came, left), *_displaced(left, came))
        found.append(QueryChange(query.query_id, query.text, hits))
    return tuple(found)


def _displaced(hits: Sequence[HitChange], others: Sequence[HitChange]) -> list[HitChange]:
    """The hits, others named where a document that is another now made or took their place."""
    if not any(kind in one.causes for one in others for kind in (NEW, CHANGED, GONE)):
        return list(hits)
    return [
        one
        if OTHERS in one.causes or {NEW, CHANGED, GONE} & set(one.causes)
        else dataclasses.replace(one, causes=(*one.causes, OTHERS))
        for one in hits
    ]


class _Evidence:
    """The legs' scores of one chunk in both generations."""

    def __init__(self, before: Index, after: Index, texts: Sequence[str], changes: Mapping[str, set[str]]) -> None:
        self._changes = changes
        self._anew = _calibration(before.manifest) != _calibration(after.manifest)
        self._sides = []
        for index in (before, after):
            encoded = index.encode(texts)
            self._sides.append(
                (index.snapshot, {name: (index.leg(name), index.leg(name).prepare(encoded)) for name in index.legs})
            )

    def causes(self, i: int, hit: Hit) -> tuple[str, ...]:
        """Why a hit of query `i` came or went."""
        for kind in (NEW, CHANGED, GONE):
            if hit.doc_id in self._changes[kind]:
                return (kind,)
        was, now = (self._scores(side, i, hit) for side in range(2))
        found = [
            cause
            for leg, cause in ((LEXICAL, IDF), (DENSE, VECTOR))
            if leg in was and leg in now and not np.isclose(was[leg], now[leg], rtol=SAME, atol=SAME)
        ]
        if self._anew:
            found.append(CALIBRATION)
        return tuple(found) or (OTHERS,)

    def _scores(self, side: int, i: int, hit: Hit) -> dict[str, float]:
        snapshot, legs = self._sides[side]
        numbers = [n for n in snapshot.chunks_of(hit.doc_id).tolist() if snapshot.chunk(n).chunk_id == hit.chunk_id]
        if not numbers:
            return {}
        place = np.array(numbers[:1], np.int64)
        return {
            name: float(leg.scores(queries[i], place)[0])
            for name, (leg, queries) in legs.items()
            if queries is not None
        }
