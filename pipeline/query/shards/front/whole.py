"""The snapshot of an index whose segments are with shards: it answers what the snapshot of one folder answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.config.boosts import Boost
from pipeline.errors import QueryError, ServiceError
from pipeline.forking import PerProcess, shared_property
from pipeline.index.manifest import Manifest
from pipeline.index.segment import Mask, Segment
from pipeline.query.access import ALL_GROUPS, AllGroups, Groups
from pipeline.query.boosting.factors import Lifts
from pipeline.query.filter.facet_request import FacetRequest
from pipeline.query.filter.table import AgreedColumn
from pipeline.query.legs.lexical import mean_length
from pipeline.query.shards import encoding
from pipeline.query.shards.front.asking import Questions
from pipeline.query.shards.front.fetched import Fetched
from pipeline.query.shards.front.merged import AgreedColumns, SharedDocuments, agreed_columns, merged_facets
from pipeline.query.shards.front.remembered import Remembered
from pipeline.query.shards.front.remote_lifts import RemoteLifts
from pipeline.query.shards.messages import Message
from pipeline.query.shards.panel import Panel
from pipeline.query.shards.part import identity
from pipeline.query.snapshot import BACKGROUND, Ids, Snapshot
from pipeline.records import Chunk, Facet, Float32

One = TypeVar("One")
Other = TypeVar("Other")

_AT_ONCE = 16
_TOKENS_KEPT = 65_536


class KeptAtShards(list[Mask]):
    """Which chunks satisfy a condition, as the shards know it. No masks are here."""

    def __init__(self, condition: str) -> None:
        super().__init__()
        self.condition = condition


class ShardedSnapshot(Snapshot):
    """A generation as a front sees it. Raises `ShardsFailedError` where a shard does not answer."""

    def __init__(
        self,
        panel: Panel,
        manifest: Manifest,
        groups: Groups = ALL_GROUPS,
        missing: Collection[int] = (),
        whole: ShardedSnapshot | None = None,
    ) -> None:
        """`missing`: places of shards that are not asked: their chunks are as good as deleted. `whole`: the same
        generation with all groups and shards, where this is a part of it."""
        self.panel, self.groups, self.missing = panel, groups, frozenset(missing)
        self._whole = whole or self
        self.identity: str = identity(manifest) if whole is None else whole.identity
        self.questions = Questions(panel, manifest, self.identity, groups, missing)
        self._fetched = Fetched(self.questions)
        self._hold(manifest, [], PerProcess(lambda: ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="search")))
        self._frequencies = Remembered[int, int](_TOKENS_KEPT)
        self._live, self._lengths = self._viewed()
        self._counted(manifest)

    def _viewed(self) -> tuple[Ids, list[float]]:
        """For each segment how many chunks live, and the sum of their lengths."""
        segments = len(self.manifest.segments)
        live, lengths = np.zeros(segments, np.int64), [0.0] * segments
        for place, answer in self.questions.all("view").items():
            own = self.questions.segments_of(place)
            found, sums = answer.array("live", "<i8"), answer.array("lengths", "<f8")
            if len(found) != len(own) or len(sums) not in (0, len(own)):
                raise self._wrong(place, "knows other segments")
            live[own] = found
            for number, length in zip(own, sums.tolist(), strict=False):
                lengths[number] = length
        return live, lengths

    def _counted(self, manifest: Manifest) -> None:
        """Let the manifest count what is seen here."""
        chunks = int(self._live.sum())
        if isinstance(self.groups, AllGroups) and not self.missing:
            if chunks != manifest.chunks:
                raise self._wrong(0, f"and the others have {chunks} chunks, the manifest {manifest.chunks}")
            return
        self.manifest = dataclasses.replace(manifest, chunks=chunks, documents=0)
        documents = self.shared_documents.count(self.questions.all)
        self.manifest = dataclasses.replace(self.manifest, documents=documents)

    def _wrong(self, place: int, why: str) -> ServiceError:
        return ServiceError(f"{self.panel.name}: shard {self.panel.shares[place]} {why}")

    def seen_by(self, groups: Groups) -> ShardedSnapshot:
        """The snapshot as readers with these groups see it."""
        if self.manifest.access_field is None or isinstance(groups, AllGroups):
            return self
        return ShardedSnapshot(self.panel, self._whole.manifest, groups, self.missing, self._whole)

    def without(self, missing: Collection[int]) -> ShardedSnapshot:
        """The snapshot as it is without what these shards have."""
        gone = self.missing | frozenset(missing)
        return ShardedSnapshot(self.panel, self._whole.manifest, self.groups, gone, self._whole)

    def each(self, function: Callable[[One], Other], arguments: Iterable[One]) -> list[Other]:
        """What a function returns for each argument, all of them at once: each waits for shards."""
        listed = list(arguments)
        if len(listed) < 2:
            return list(map(function, listed))
        others = [self.pool.submit(function, one) for one in listed[1:]]
        return [function(listed[0]), *(other.result() for other in others)]

    @property
    def chunks(self) -> int:
        """How many chunks have numbers, deleted ones included."""
        return int(self._starts[-1])

    @property
    def segments(self) -> list[Segment]:
        """Refuse, as whoever reads segments would find none here. Raises `QueryError`."""
        raise QueryError(
            f"{self.panel.name}: this reads the segments of an index, which its shards have; "
            "open the folder of the index for it"
        )

    @shared_property
    def mean_length(self) -> float:
        """The mean length of live chunks."""
        return mean_length(self._lengths, self.manifest.chunks)

    def kept_by(self, condition: str) -> list[Mask]:
        """The condition, for the shards: whoever asks them for candidates hears what is wrong with it."""
        return KeptAtShards(condition)

    def has_masks(self, condition: str) -> bool:
        """Say no: shards may have to evaluate it."""
        return False

    @contextmanager
    def filtering(self, condition: str | None) -> Iterator[None]:
        """Do nothing: shards evaluate conditions."""
        yield

    def narrowed(self, kept: Sequence[Mask] | None) -> dict[str, Any]:
        """The fields of a question that say which chunks may be found."""
        if kept is None:
            return {}
        assert isinstance(kept, KeptAtShards)
        return {"where": kept.condition, "columns": encoding.columns_to_fields(self.agreed)}

    @property
    def columns(self) -> AgreedColumns:
        """The columns of all segments: their names and kinds."""
        return self._columns

    @shared_property
    def _columns(self) -> AgreedColumns:
        return agreed_columns(self.questions.all("columns"), self.questions.owners)

    @property
    def agreed(self) -> Sequence[AgreedColumn]:
        """The same as records."""
        return self.columns.agreed

    def facets(self, request: FacetRequest, where: str | None) -> list[Facet]:
        """Count the values of fields over live chunks, those that satisfy a condition. Raises `QueryError`."""
        columns = [self.columns.counted(field) for field in request.fields]
        fields: dict[str, Any] = {
            "fields": [column.name for column in columns],
            "columns": encoding.columns_to_fields(self.agreed),
            "apart": self.shared_documents.doc_ids(self.questions.all),
        }
        if where is not None:
            fields["where"] = where
        return merged_facets(columns, request.limit, self.questions.all("facets", fields).values())

    @shared_property
    def shared_documents(self) -> SharedDocuments:
        """The documents of which several shards have chunks."""
        known = None
        if isinstance(self.groups, AllGroups) and not self.missing:
            known = self.manifest.documents
        elif not self._whole.missing and self._whole is not self:
            return self._whole.shared_documents
        return SharedDocuments(known)

    def frequencies(self, token_ids: npt.NDArray[np.uint64]) -> Ids:
        """For each token, in how many live chunks it stands."""

        def ask(tokens: Sequence[int]) -> dict[int, int]:
            answers = self.questions.all("frequencies", None, {"token_ids": np.array(tokens, np.uint64)}).values()
            counts = sum((one.array("counts", "<i8") for one in answers), np.zeros(len(tokens), np.int64))
            return dict(zip(tokens, counts.tolist(), strict=True))

        known = self._frequencies.get(token_ids.tolist(), ask)
        return np.array([known[token] for token in token_ids.tolist()], np.int64)

    def stored(self, token_ids: npt.NDArray[np.uint64]) -> Mask:
        """Which tokens stand in some chunk, be it deleted."""
        found = np.zeros(len(token_ids), np.bool_)
        for answer in self.questions.all("stored", None, {"token_ids": token_ids}).values():
            found |= answer.array("stored", "|b1")
        return found

    def words_near(self, word: str, slips: int) -> set[str] | None:
        """Words of letters at most so many slips from a word; `None` where a shard has no list of all its words."""
        answers = self.questions.all("words_near", {"word": word, "slips": slips}).values()
        if not all(answer.fields.get("listed") is True for answer in answers):
            return None
        return {other for answer in answers for other in answer.texts("words")}

    def findable(self, ids: Ids, kept: Sequence[Mask] | None) -> Mask:
        """Which of some chunks a search may find."""
        found = np.zeros(len(ids), np.bool_)
        for inside, answer in self.questions.owners_of("findable", ids, self.narrowed(kept)):
            found[inside] = answer.array("findable", "|b1")
        return found

    def lifts(self, boosts: Sequence[Boost], now: datetime, kept: Sequence[Mask] | None) -> Lifts:
        """What boosts make of the chunks, of which a search may find some."""
        fields = {
            "now": now.timestamp(),
            "columns": encoding.columns_to_fields(self.agreed),
            **self.narrowed(kept),
        }
        return RemoteLifts(self.questions, self.columns, boosts, fields)

    def late_interaction(self, query: Float32, ids: Ids) -> Float32:
        """Score given chunks by their stored multi-vectors."""
        result = np.zeros(len(ids), np.float32)
        vectors = np.asarray(query, np.float32)
        for inside, answer in self.questions.owners_of("late_interaction", ids, None, {"vectors": vectors}):
            result[inside] = answer.array("scores", "<f4")
        return result

    @shared_property
    def background(self) -> Ids:
        """Some `BACKGROUND` of the live chunks, evenly spaced."""
        total = int(self._live.sum())
        places = np.linspace(0, total - 1, min(BACKGROUND, total)).astype(np.int64)
        ends = np.cumsum(self._live)
        segments = np.searchsorted(ends, places, side="right")
        found = np.zeros(len(places), np.int64)
        questions, inside = {}, {}
        for place in set(np.array(self.questions.owners, np.int64)[segments].tolist()):
            own = self.questions.segments_of(place)
            mine = np.flatnonzero(np.isin(segments, own))
            before = dict(zip(own, np.cumsum([0, *self._live[own]]).tolist(), strict=False))
            starts = ends - self._live
            nth = [places[i] - starts[segments[i]] + before[int(segments[i])] for i in mine.tolist()]
            questions[place], inside[place] = Message({}, {"places": np.array(nth, np.int64)}), mine
        for place, answer in self.questions.each("live", questions).items():
            found[inside[place]] = answer.array("ids", "<i8")
        return found

    def chunk(self, number: int) -> Chunk:
        """The chunk with this number."""
        return self._fetched.rows([number])[number][0]

    def is_live(self, number: int) -> bool:
        """Whether the chunk is not deleted, nor with a shard that is missing."""
        return self.questions.is_asked_about(number) and self._fetched.rows([number])[number][1]

    def encoded_texts(self, ids: Ids) -> list[str]:
        """What is encoded of given chunks, in their order."""
        found = self._fetched.rows(ids.tolist())
        return [found[number][0].encoded_text for number in ids.tolist()]

    def doc_id(self, number: int) -> str:
        """The document that a chunk belongs to."""
        return self._fetched.names([number])[number][1]

    def names(self, ids: Ids) -> tuple[list[str], list[str]]:
        """The ids of given chunks, and of their documents."""
        found = self._fetched.names(ids.tolist())
        pairs = [found[number] for number in ids.tolist()]
        return [one for one, _ in pairs], [one for _, one in pairs]

    def _chunk_ids(self, ids: Ids) -> list[str]:
        return self.names(ids)[0]

    def chunks_of(self, doc_id: str) -> Ids:
        """The numbers of a document's live chunks."""
        answers = self.questions.all("chunks_of", {"doc_id": doc_id}).values()
        found: Ids = np.sort(np.concatenate([np.zeros(0, np.int64), *(one.array("ids", "<i8") for one in answers)]))
        return found

    def foresee(self, ids: Ids, texts: bool = False, around: int = 0) -> None:
        """Ask for chunks at once that would be asked for one by one."""
        if texts:
            self._fetched.around(ids.tolist(), around)
        else:
            self._fetched.names(ids.tolist())
