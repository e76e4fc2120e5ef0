"""A share as readers of some groups see it: the questions of a front, each by its name."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import xxhash

from pipeline import arrays
from pipeline.forking import Lock, shared_property
from pipeline.index.columns.component import COLUMNS
from pipeline.index.columns.kinds import Kind
from pipeline.index.segment import Mask
from pipeline.names import DENSE, LEXICAL
from pipeline.query.boosting.at_hand import FactorsAtHand
from pipeline.query.boosting.factors import BoostedChunks, factors_of
from pipeline.query.filter.facet_request import FacetRequest
from pipeline.query.filter.facets import FacetCounter
from pipeline.query.filter.masks import ChunkFilter
from pipeline.query.filter.table import ColumnTable
from pipeline.query.legs.contract import Leg
from pipeline.query.legs.dense import DenseLeg
from pipeline.query.legs.lexical import LexicalLeg, live_lengths
from pipeline.query.shards import encoding
from pipeline.query.shards.messages import Message, NoMessageError
from pipeline.query.shards.partition import Numbering
from pipeline.query.snapshot import Ids, Ranking, Snapshot

K = TypeVar("K")
V = TypeVar("V")

_MOST_KEPT = 4
_UNKNOWN = -1
"""As the number of documents: it is not known, so those that end in another segment are looked for."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """The share's columns, of the kinds that the whole index has."""

    table: ColumnTable
    filter: ChunkFilter
    facets: FacetCounter


class PartView:
    """Answers from the chunks that some readers may see."""

    def __init__(self, snapshot: Snapshot, numbering: Numbering) -> None:
        self._snapshot, self._numbering = snapshot, numbering
        self._columns: OrderedDict[str, _Columns] = OrderedDict()
        self._lexical: OrderedDict[float, LexicalLeg] = OrderedDict()
        self._lock = Lock()
        self._answers: dict[str, Callable[[Message], Message]] = {
            "view": self._view,
            "frequencies": self._frequencies,
            "largest_weights": self._largest_weights,
            "candidates": self._candidates,
            "joint": self._joint,
            "scores": self._scores,
            "contributions": self._contributions,
            "passages": self._passages,
            "late_interaction": self._late_interaction,
            "stored": self._stored,
            "words_near": self._words_near,
            "findable": self._findable,
            "factors": self._factors,
            "live": self._live,
            "names": self._names,
            "rows": self._rows,
            "chunks_of": self._chunks_of,
            "columns": self._known_columns,
            "facets": self._facets,
            "documents": self._documents,
            "document_hashes": self._document_hashes,
        }

    def answer(self, question: Message) -> Message:
        """The answer to a question. Raises `NoMessageError` for one that there is not, `QueryError`."""
        asked = self._answers.get(question.text("ask"))
        if asked is None:
            raise NoMessageError(f"asks {question.text('ask')[:40]!r}, which no shard of this version answers")
        return asked(question)

    def _view(self, question: Message) -> Message:
        """How many live chunks each segment has, and the sum of their lengths."""
        segments = self._snapshot.segments
        gone = [0 if segment.deleted is None else int(segment.deleted.sum()) for segment in segments]
        live = [segment.chunks - count for segment, count in zip(segments, gone, strict=True)]
        lengths = live_lengths(self._snapshot) if self._snapshot.has(LEXICAL) else []
        return Message({}, {"live": np.array(live, np.int64), "lengths": np.array(lengths, np.float64)})

    def _frequencies(self, question: Message) -> Message:
        return Message({}, {"counts": self._snapshot.frequencies(question.array("token_ids", "<u8"))})

    def _largest_weights(self, question: Message) -> Message:
        found = LexicalLeg(self._snapshot).largest_weights(question.array("token_ids", "<u8"))
        return Message({}, {"weights": found})

    def _candidates(self, question: Message) -> Message:
        name = question.text("leg")
        leg, queries = self._leg(question), encoding.queries_of(name, question)
        kept = self._kept(question)
        found = self._found(leg, queries, question.whole("depth"), kept)
        return encoding.with_arrays(
            {},
            encoding.ragged_to_arrays([self._numbering.outer(one.ids) for one in found], "ids", np.int64),
            encoding.ragged_to_arrays([one.scores for one in found], "scores", np.float32),
        )

    def _joint(self, question: Message) -> Message:
        """Candidates of several legs, and each leg's scores of all that any of them found here."""
        legs = [(name, self._leg_of(name, question)) for name in question.texts("legs")]
        asked = [(name, leg, encoding.queries_of(name, question)) for name, leg in legs]
        kept, depth = self._kept(question), question.whole("depth")
        rankings = {name: self._found(leg, queries, depth, kept) for name, leg, queries in asked}
        unions = [
            arrays.distinct(np.concatenate([one.ids for one in found]))
            for found in zip(*rankings.values(), strict=True)
        ]
        parts = [encoding.ragged_to_arrays([self._numbering.outer(one) for one in unions], "union", np.int64)]
        for name, leg, queries in asked:
            found = rankings[name]
            places = [np.searchsorted(union, one.ids) for union, one in zip(unions, found, strict=True)]
            others = [np.delete(union, some) for union, some in zip(unions, places, strict=True)]
            scores = leg.complete(queries, others)
            parts.append(encoding.ragged_to_arrays(places, f"{name}_places", np.uint32))
            parts.append(encoding.ragged_to_arrays([one.scores for one in found], f"{name}_found", np.float32))
            parts.append(encoding.ragged_to_arrays(scores, f"{name}_others", np.float32))
        return encoding.with_arrays({}, *parts)

    def _found(self, leg: Leg[Any], queries: list[Any], depth: int, kept: list[Mask] | None) -> list[Ranking]:
        if self._snapshot.segments:
            return leg.candidates(queries, depth, kept)
        return [Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(queries)

    def _scores(self, question: Message) -> Message:
        leg, queries = self._leg(question), encoding.queries_of(question.text("leg"), question)
        ids = encoding.ragged_of(question, "ids", "<i8", len(queries))
        found = leg.complete(queries, [self._numbering.inner(one) for one in ids])
        return encoding.with_arrays({}, encoding.ragged_to_arrays(found, "scores", np.float64))

    def _contributions(self, question: Message) -> Message:
        leg, (query,) = self._lexical_leg(question), encoding.queries_of(LEXICAL, question)
        return Message({}, {"added": leg.contributions(query, self._inner(question))})

    def _passages(self, question: Message) -> Message:
        leg = DenseLeg(self._snapshot) if question.text("leg") == DENSE else LexicalLeg(self._snapshot)
        return encoding.with_arrays({}, encoding.encoded_to_arrays(leg.passages(self._inner(question))))

    def _late_interaction(self, question: Message) -> Message:
        vectors = question.array("vectors", "<f4", 2)
        return Message({}, {"scores": self._snapshot.late_interaction(vectors, self._inner(question))})

    def _stored(self, question: Message) -> Message:
        return Message({}, {"stored": self._snapshot.stored(question.array("token_ids", "<u8"))})

    def _words_near(self, question: Message) -> Message:
        """Words near one, or none at all where a segment has no list of them."""
        found = self._snapshot.words_near(question.text("word"), question.whole("slips"))
        return Message({"listed": found is not None, "words": sorted(found or ())})

    def _findable(self, question: Message) -> Message:
        return Message({}, {"findable": self._snapshot.findable(self._inner(question), self._kept(question))})

    def _factors(self, question: Message) -> Message:
        """The factors by which boosts multiply the scores of some chunks, the largest product among the others that
        may be found, and which boosts saw values and dates."""
        now, boosts = question.fields.get("now"), encoding.boosts_of(question.listed("boosts"))
        if not isinstance(now, float) or not boosts:
            raise NoMessageError("does not say which boosts are meant, at which moment")
        agreed, segments = self._agreed(question), self._snapshot.segments
        gone = self._snapshot.excluded(None)
        chunks = BoostedChunks(agreed.table, gone, agreed.filter.masks if segments else lambda condition: [])
        found = factors_of(chunks, boosts, now)
        excluded = self._snapshot.excluded(self._kept(question))
        at_hand = FactorsAtHand(found, excluded, [segment.chunks for segment in segments])
        parts, rest = at_hand.parts_and_rest(self._inner(question))
        return Message({}, {"parts": parts, "rest": np.array([rest]), "dates": np.array(found.dates, np.bool_)})

    def _live(self, question: Message) -> Message:
        """The live chunks that have these places among those of the share."""
        masks = [np.ones(s.chunks, np.bool_) if s.deleted is None else ~s.deleted for s in self._snapshot.segments]
        live = np.flatnonzero(np.concatenate([np.zeros(0, np.bool_), *masks]))
        places = encoding.checked_ids(question.array("places", "<i8"), len(live))
        return Message({}, {"ids": self._numbering.outer(live[places])})

    def _names(self, question: Message) -> Message:
        chunk_ids, doc_ids = self._snapshot.names(self._inner(question))
        return Message({"chunk_ids": chunk_ids, "doc_ids": doc_ids})

    def _rows(self, question: Message) -> Message:
        ids = self._inner(question).tolist()
        chunks = [encoding.chunk_to_fields(self._snapshot.chunk(number)) for number in ids]
        live = np.array([self._snapshot.is_live(number) for number in ids], np.bool_)
        return Message({"chunks": chunks}, {"live": live})

    def _chunks_of(self, question: Message) -> Message:
        return Message({}, {"ids": self._numbering.outer(self._snapshot.chunks_of(question.text("doc_id")))})

    def _known_columns(self, question: Message) -> Message:
        """The columns of each segment: their kind, and how many values they have."""
        table = self._snapshot.columns
        found = [
            [[name, kind.name, segment.entries(name)] for name, kind in columns]
            for segment, columns in zip(table.segments, table.found(), strict=True)
        ]
        return Message({"columns": found})

    def _facets(self, question: Message) -> Message:
        """Every value of some fields, and those of each of some documents, which the others leave out."""
        request = FacetRequest.of(question.texts("fields"), None)
        if not self._snapshot.segments:
            return Message({"facets": []})
        excluded = self._snapshot.excluded(self._kept(question))
        apart = [self._of_document(doc_id) for doc_id in question.texts("apart")]
        counter = self._agreed(question).facets
        others = list(excluded)
        for masks in apart:
            others = [mask if gone is None else gone | mask for gone, mask in zip(others, masks, strict=True)]
        found = [counter.facets(request, others)]
        for masks in apart:
            alone = [~mask if gone is None else gone | ~mask for gone, mask in zip(excluded, masks, strict=True)]
            found.append(counter.facets(request, alone))
        listed = [
            [[[[one.value, one.chunks, one.documents] for one in facet.values], facet.missing] for facet in facets]
            for facets in found
        ]
        return Message({"facets": listed})

    def _of_document(self, doc_id: str) -> list[Mask]:
        ids = self._snapshot.chunks_of(doc_id)
        masks = [np.zeros(segment.chunks, np.bool_) for segment in self._snapshot.segments]
        for number, _, ordinals in self._snapshot.by_segment(ids):
            masks[number][ordinals] = True
        return masks

    def _documents(self, question: Message) -> Message:
        """How many documents there are, some left out, and which of those are there."""
        apart = question.texts("apart")
        seen = [bool(len(self._snapshot.chunks_of(doc_id))) for doc_id in apart]
        return Message({"documents": len(self._doc_ids) - sum(seen), "seen": seen})

    def _document_hashes(self, question: Message) -> Message:
        """A number for each document's id; of those that are asked about, the ids."""
        if "hashes" in question.arrays:
            wanted = set(question.array("hashes", "<u8").tolist())
            return Message({"doc_ids": sorted(one for one in self._doc_ids if _hash(one) in wanted)})
        return Message({}, {"hashes": np.array([_hash(one) for one in self._doc_ids], np.uint64)})

    @shared_property
    def _doc_ids(self) -> set[str]:
        found: set[str] = set()
        for segment in self._snapshot.segments:
            columns = segment.open(COLUMNS)
            codes = columns.codes("doc_id")
            live = np.unique(codes if segment.deleted is None else codes[~segment.deleted])
            entries = columns.dictionary("doc_id", Kind.TEXT)
            found.update(entries[code].as_py() for code in live.tolist())
        return found

    def _inner(self, question: Message) -> Ids:
        return self._numbering.inner(question.array("ids", "<i8"))

    def _leg(self, question: Message) -> Leg[Any]:
        return self._leg_of(question.text("leg"), question)

    def _leg_of(self, name: str, question: Message) -> Leg[Any]:
        return DenseLeg(self._snapshot) if name == DENSE else self._lexical_leg(question)

    def _lexical_leg(self, question: Message) -> LexicalLeg:
        """The leg with the mean length of the whole index, for which every chunk's norm was computed."""
        length = question.fields.get("mean_length")
        if not isinstance(length, float):
            raise NoMessageError("does not say the mean length")
        with self._lock:
            return _kept(self._lexical, length, lambda: LexicalLeg(self._snapshot, length))

    def _kept(self, question: Message) -> list[Mask] | None:
        if question.fields.get("where") is None or not self._snapshot.segments:
            return None
        return self._agreed(question).filter.masks(question.text("where"))

    def _agreed(self, question: Message) -> _Columns:
        fields = question.listed("columns")
        with self._lock:
            return _kept(self._columns, json.dumps(fields), lambda: self._made(fields))

    def _made(self, fields: list[Any]) -> _Columns:
        table = ColumnTable(*self._snapshot.column_parts, encoding.columns_of(fields))
        deleted = [segment.deleted for segment in self._snapshot.segments]
        return _Columns(table, ChunkFilter(table), FacetCounter(table, deleted, _UNKNOWN))


def _kept(cache: OrderedDict[K, V], key: K, make: Callable[[], V]) -> V:
    """What is kept by this key, or is made now; the last few are."""
    if key not in cache:
        cache[key] = make()
        if len(cache) > _MOST_KEPT:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]


def _hash(doc_id: str) -> int:
    return xxhash.xxh3_64_intdigest(doc_id.encode("utf-8", "surrogatepass"))
