"""One generation opened for reading: its segments as one sequence of chunks."""

from __future__ import annotations

import dataclasses
import itertools
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.forking import PerProcess, shared_property
from pipeline.index.columns.component import COLUMNS
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.manifest import Manifest
from pipeline.index.multivector.component import MULTIVECTORS
from pipeline.index.rows.component import ROWS
from pipeline.index.segment import Mask, Segment
from pipeline.index.verified import Verified
from pipeline.index.words.component import WORDS
from pipeline.query.access import AllGroups, Groups, count_documents, visible
from pipeline.records import Chunk, Facet, Float32

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.config.boosts import Boost
    from pipeline.index.columns.reader import SegmentColumns
    from pipeline.query.boosting.factors import Lifts
    from pipeline.query.filter.facet_request import FacetRequest
    from pipeline.query.filter.facets import FacetCounter
    from pipeline.query.filter.masks import ChunkFilter
    from pipeline.query.filter.table import ColumnTable

Ids = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
One = TypeVar("One")
Other = TypeVar("Other")

BACKGROUND = 512
"""Over how many chunks the deviation of a leg's scores is taken; it is known within some 3% then."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """One leg's candidates, best first. `ids`: numbers of chunks in the snapshot; `scores`: float32."""

    ids: Ids
    scores: Float32


class Snapshot:
    """The segments of a generation. A chunk's number is its segment's start plus its ordinal there."""

    def __init__(self, path: Path, manifest: Manifest, verify: bool) -> None:
        """Open every segment. Raises `CorruptIndexError`."""
        verified = Verified(path) if verify else None
        segments = [Segment(path, entry, verify, verified) for entry in manifest.segments]
        if verified is not None:
            verified.save()
        threads = PerProcess(lambda: ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="search"))
        self._hold(manifest, segments, threads)

    def _hold(
        self, manifest: Manifest, segments: Sequence[Segment], threads: PerProcess[ThreadPoolExecutor]
    ) -> None:
        self.manifest, self._segments, self._threads = manifest, list(segments), threads
        self._among: list[Mask] | None = None
        self._starts = np.cumsum([0, *(entry.chunks for entry in manifest.segments)])
        self._edges: list[int] = self._starts.tolist()

    @property
    def segments(self) -> list[Segment]:
        """The segments, open."""
        return self._segments

    def seen_by(self, groups: Groups) -> Snapshot:
        """The snapshot as readers with these groups see it: all else is as if it had been deleted.

        Its manifest counts what they see, so that no statistic tells them of more.
        """
        field = self.manifest.access_field
        if field is None or isinstance(groups, AllGroups):
            return self
        columns = [segment.open(COLUMNS) for segment in self.segments]
        masks = visible(columns, field, groups)
        segments = [segment.only(mask) for segment, mask in zip(self.segments, masks, strict=True)]
        among = [~one.deleted for one in segments if one.deleted is not None]
        chunks, documents = sum(int(mask.sum()) for mask in among), count_documents(columns, among)
        found = Snapshot.__new__(Snapshot)
        found._hold(dataclasses.replace(self.manifest, chunks=chunks, documents=documents), segments, self._threads)
        found._among = among
        return found

    def close(self) -> None:
        """Stop the search threads."""
        if (pool := self._threads.made()) is not None:
            pool.shutdown(wait=False)

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The threads that searches share."""
        return self._threads.get()

    def each(self, function: Callable[[One], Other], arguments: Iterable[One]) -> list[Other]:
        """What a function returns for each argument: one after the other, as all of it is at hand."""
        return list(map(function, arguments))

    def foresee(self, ids: Ids, texts: bool = False, around: int = 0) -> None:
        """Be told which chunks are asked for next: their ids, their texts too, and those of so many around them."""

    def has(self, part: str) -> bool:
        """Whether the index was built with this part."""
        return self.manifest.fingerprint(part) is not None

    def kept_by(self, condition: str) -> list[Mask]:
        """For each segment, which chunks satisfy an SQL condition (`ChunkFilter`). Raises `QueryError`."""
        return self._filter.masks(condition)

    def has_masks(self, condition: str) -> bool:
        """Whether it is known already which chunks satisfy a condition."""
        known: ChunkFilter | None = self.__dict__.get("_filter")
        return known is not None and known.has(condition)

    @contextmanager
    def filtering(self, condition: str | None) -> Iterator[None]:
        """Evaluate a condition beside what is done meanwhile, for `kept_by`. Raises what that does."""
        if condition is None or self.has_masks(condition):
            yield
            return
        pending = self.pool.submit(self.kept_by, condition)
        yield
        pending.result()

    @shared_property
    def columns(self) -> ColumnTable:
        """The chunks' metadata by column."""
        from pipeline.query.filter.table import ColumnTable

        return ColumnTable(*self.column_parts)

    @property
    def column_parts(self) -> tuple[list[SegmentColumns], list[Mask] | None]:
        """The columns of each segment, and the chunks that readers may know of; `None`: all."""
        return [segment.open(COLUMNS) for segment in self.segments], self._among

    @shared_property
    def _filter(self) -> ChunkFilter:
        from pipeline.query.filter.masks import ChunkFilter

        return ChunkFilter(self.columns)

    def facets(self, request: FacetRequest, where: str | None) -> list[Facet]:
        """Count the values of fields over live chunks, those that satisfy a condition. Raises `QueryError`."""
        return self._facets.facets(request, self.excluded(None if where is None else self.kept_by(where)))

    @shared_property
    def _facets(self) -> FacetCounter:
        from pipeline.query.filter.facets import FacetCounter

        return FacetCounter(self.columns, [s.deleted for s in self.segments], self.manifest.documents)

    def excluded(self, kept: Sequence[Mask] | None) -> list[Mask | None]:
        """For each segment, the chunks that no leg may return: deleted, or not kept by the filter."""
        if kept is None:
            return [segment.deleted for segment in self.segments]
        return [
            ~keep if segment.deleted is None else ~keep | segment.deleted
            for segment, keep in zip(self.segments, kept, strict=True)
        ]

    def findable(self, ids: Ids, kept: Sequence[Mask] | None) -> Mask:
        """Which of some chunks a search may find: those that are not deleted, and that the filter keeps."""
        masks = self.excluded(kept)
        found = np.ones(len(ids), np.bool_)
        for number, inside, ordinals in self.by_segment(ids):
            if (gone := masks[number]) is not None:
                found[inside] = ~gone[ordinals]
        return found

    def lifts(self, boosts: Sequence[Boost], now: datetime, kept: Sequence[Mask] | None) -> Lifts:
        """What boosts make of the chunks, of which a search may find some. Raises `QueryError`."""
        from pipeline.query.boosting.at_hand import FactorsAtHand
        from pipeline.query.boosting.factors import BoostedChunks, check_dates, factors_of

        chunks = BoostedChunks(self.columns, self.excluded(None), self.kept_by)
        found = factors_of(chunks, boosts, now.timestamp())
        check_dates(self.columns, boosts, found.dates)
        return FactorsAtHand(found, self.excluded(kept), [segment.chunks for segment in self.segments])

    def by_segment(self, ids: Ids) -> list[tuple[int, Ids, Ids]]:
        """Group chunks by segment: its number, positions in `ids`, and ordinals in the segment."""
        groups = []
        for number, (start, end) in enumerate(itertools.pairwise(self._starts)):
            inside = np.flatnonzero((ids >= start) & (ids < end))
            if len(inside):
                groups.append((number, inside, ids[inside] - start))
        return groups

    def chunk(self, number: int) -> Chunk:
        """The chunk with this number."""
        segment, row = self._place(number)
        return segment.open(ROWS).fetch([row])[0]

    def _place(self, number: int) -> tuple[Segment, int]:
        """The segment of a chunk, and its row there."""
        segment = bisect_right(self._edges, number) - 1
        return self.segments[segment], number - self._edges[segment]

    def same_segment(self, number: int, other: int) -> bool:
        """Whether both are chunks of one segment."""
        if not 0 <= other < self._edges[-1]:
            return False
        return bisect_right(self._edges, number) == bisect_right(self._edges, other)

    def segment_edges(self, first: bool) -> list[int]:
        """The number of every segment's first chunk, or of its last."""
        pairs = [(int(a), int(b)) for a, b in itertools.pairwise(self._starts) if a < b]
        return [start if first else end - 1 for start, end in pairs]

    def is_live(self, number: int) -> bool:
        """Whether the chunk is not deleted."""
        segment, row = self._place(number)
        return segment.deleted is None or not bool(segment.deleted[row])

    def frequencies(self, token_ids: npt.NDArray[np.uint64]) -> Ids:
        """For each token, in how many live chunks it stands."""
        counts = np.zeros(len(token_ids), np.int64)
        for segment in self.segments:
            counts += segment.open(LEXICAL).document_frequencies(token_ids, segment.deleted)
        return counts

    def stored(self, token_ids: npt.NDArray[np.uint64]) -> Mask:
        """Which tokens stand in some chunk, be it deleted."""
        found = np.zeros(len(token_ids), np.bool_)
        for segment in self.segments:
            found |= segment.open(LEXICAL).document_frequencies(token_ids, None) > 0
        return found

    def words_near(self, word: str, slips: int) -> set[str] | None:
        """Words of letters at most so many slips from a word, also those of deleted chunks; `None` where a segment
        has no list of its words."""
        opened = [segment.open(WORDS) for segment in self.segments]
        listed = [words for words in opened if words is not None]
        if len(listed) < len(opened):
            return None
        return {other for words in listed for other in words.near(word, slips)}

    def late_interaction(self, query: Float32, ids: Ids) -> Float32:
        """Score given chunks by their stored multi-vectors. `query`: float32 (tokens, d)."""
        result = np.zeros(len(ids), np.float32)
        for number, inside, ordinals in self.by_segment(ids):
            result[inside] = self.segments[number].open(MULTIVECTORS).scores(query, ordinals)
        return result

    @shared_property
    def background(self) -> Ids:
        """Some `BACKGROUND` of the live chunks, evenly spaced, over which the deviation of scores is taken."""
        masks = [np.ones(s.chunks, np.bool_) if s.deleted is None else ~s.deleted for s in self.segments]
        alive = np.flatnonzero(np.concatenate(masks)) if masks else np.zeros(0, np.int64)
        places = np.linspace(0, len(alive) - 1, min(BACKGROUND, len(alive))).astype(np.int64)
        picked: Ids = alive[places]
        return picked

    def encoded_texts(self, ids: Ids) -> list[str]:
        """What is encoded of given chunks, in their order: their texts in their contexts."""
        found = [""] * len(ids)
        for number, inside, ordinals in self.by_segment(ids):
            fetched = self.segments[number].open(ROWS).fetch(ordinals.tolist())
            for position, chunk in zip(inside, fetched, strict=True):
                found[position] = chunk.encoded_text
        return found

    def doc_id(self, number: int) -> str:
        """The document that a chunk belongs to."""
        segment, row = self._place(number)
        return segment.open(ROWS).doc_ids([row])[0]

    def chunks_of(self, doc_id: str) -> Ids:
        """The numbers of a document's live chunks; none if there is no such document."""
        numbers = [
            segment.open(ROWS).rows_of(doc_id) + start
            for segment, start in zip(self.segments, self._starts, strict=False)
        ]
        found: Ids = np.concatenate([np.zeros(0, np.int64), *numbers])
        return found[[self.is_live(int(number)) for number in found]] if len(found) else found

    def merged(self, parts: Sequence[tuple[Ids, Float32]], depth: int) -> Ranking:
        """The best `depth` of all segments: by score, ties by chunk id."""
        ids = np.concatenate([part[0] + start for part, start in zip(parts, self._starts, strict=False)])
        scores = np.concatenate([part[1] for part in parts])
        return self.best(ids, scores, depth)

    def best(self, ids: Ids, scores: Float32, depth: int) -> Ranking:
        """The best `depth` of some chunks: by score, ties by chunk id."""
        if len(scores) > depth:
            cut = np.partition(scores, len(scores) - depth)[len(scores) - depth]
            ids, scores = ids[scores >= cut], scores[scores >= cut]
        order = self.order(ids, [-scores])[:depth]
        return Ranking(ids[order], scores[order])

    def order(self, ids: Ids, keys: Sequence[npt.NDArray[Any]]) -> Ids:
        """Positions sorted by the keys, first key first, then by chunk id; looks ids up only where keys tie."""
        if len(ids) == 0:
            return np.zeros(0, np.int64)
        order: Ids = np.lexsort(tuple(reversed(keys)))
        tied = np.zeros(len(ids) + 1, np.bool_)  # whether a place ties with the one before it
        tied[1:-1] = True
        for key in keys:
            column = key[order]
            tied[1:-1] &= column[1:] == column[:-1]
        places = np.flatnonzero(tied[1:] | tied[:-1])
        if len(places):
            runs = np.cumsum(~tied[:-1])[places].tolist()
            named = zip(runs, self._chunk_ids(ids[order[places]]), order[places].tolist(), strict=True)
            order[places] = [position for _, _, position in sorted(named)]
        return order

    def names(self, ids: Ids) -> tuple[list[str], list[str]]:
        """The ids of given chunks, and of their documents."""
        return self._chunk_ids(ids), [self.doc_id(number) for number in ids.tolist()]

    def _chunk_ids(self, ids: Ids) -> list[str]:
        found = np.empty(len(ids), object)
        for number, inside, ordinals in self.by_segment(ids):
            found[inside] = self.segments[number].open(ROWS).chunk_ids(ordinals.tolist())
        return found.tolist()
