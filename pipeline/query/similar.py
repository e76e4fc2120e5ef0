"""Search by example: what is like given documents and texts, and unlike others, as one query of every leg.

A document is asked for by what is stored of it, so nothing is encoded for it. In the dense leg it is the mean of
its chunks' vectors; the query is the mean of all examples, less `AWAY` of the mean of the counter-examples
(Rocchio). In the lexical leg it is its words: counts saturated as a passage's are, of a model's weights the mean.
Of the words that other chunks have too, the `WORDS` that weigh most ask.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from pipeline.arguments import shown
from pipeline.errors import QueryError
from pipeline.names import LEXICAL
from pipeline.query.fusion.scripts import dominant_script
from pipeline.query.legs.contract import EncodedQueries, Leg
from pipeline.query.ranked import Ranked
from pipeline.query.request import Searchable, SearchRequest, SimilarOptions, refuse_unknown, wanted_legs
from pipeline.query.snapshot import Float64, Ids, Snapshot
from pipeline.records import Encoded, Float32, SparseRows

AWAY = 0.5
"""How much a counter-example weighs beside an example."""
WORDS = 32
"""How many words ask: enough to say what a text is about, few enough to leave out what all texts share."""

EncodeTexts = Callable[[Sequence[str]], Encoded]
Describe = Callable[[Sequence[str]], Sequence[Mapping[int, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What hits should be like: `documents` of the index by id, and `texts`. `unlike_…`: what they should not.

    Raises `QueryError` if nothing is to be like, or something is no text.
    """

    documents: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    unlike_documents: tuple[str, ...] = ()
    unlike_texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.__slots__:
            values = getattr(self, name)
            kind = "id" if "doc" in name else "text"
            if isinstance(values, str) or not all(isinstance(value, str) for value in values):
                raise QueryError(f"{name}={shown(values)}: give a list of {kind}s")
            if not all(value.strip() for value in values):
                raise QueryError(f"{name}={shown(values)}: {'an' if kind == 'id' else 'a'} {kind} is empty")
            object.__setattr__(self, name, tuple(dict.fromkeys(values)))
        if not self.documents and not self.texts:
            told = "give at least one document or text that hits should be like"
            raise QueryError(told, fields=("documents", "texts"))


@dataclass(frozen=True, slots=True)
class Asked:
    """The examples as a query. `chunks`: those of the documents among them, which are no hits."""

    queries: EncodedQueries
    chunks: Ids

    def others(self, ranked: Ranked, k: int) -> Ranked:
        """Return the best `k` that are not among the examples."""
        order = ranked.order[~np.isin(ranked.ids[ranked.order], self.chunks)]
        return dataclasses.replace(ranked, order=order[:k])


def similar_request(
    index: Searchable,
    examples: object,
    k: int | None = None,
    mode: str | None = None,
    **options: Unpack[SimilarOptions],
) -> SearchRequest:
    """Make the request of a search by example, whose text is empty. Raises `QueryError`."""
    boosts = options.get("boosts")
    refuse_unknown(options, SimilarOptions)
    if not isinstance(examples, Examples):
        raise QueryError(f"examples={shown(examples)}: give pipeline.query.similar.Examples")
    legs = wanted_legs(index.path, index.legs, (), index.settings.mode if mode is None else mode)
    request = SearchRequest.for_legs(
        index,
        ("",),
        k,
        legs,
        fusion=options.get("fusion"),
        where=options.get("where"),
        collapse=options.get("collapse", True),
        boosts=index.settings.boosts if boosts is None else boosts,
        now=options.get("now"),
    )
    return dataclasses.replace(request, context=options.get("context", 0), explain=options.get("explain", False))


def as_query(snapshot: Snapshot, legs: Sequence[Leg[Any]], encode: EncodeTexts, examples: Examples) -> Asked:
    """Return examples as a query of these legs. Raises `QueryError` for a document that the index does not have."""
    places = {
        doc_id: snapshot.chunks_of(doc_id)
        for doc_id in dict.fromkeys((*examples.documents, *examples.unlike_documents))
    }
    for doc_id, found in places.items():
        if not len(found):
            raise QueryError(f"{doc_id!r}: the index has no such document; `doc_id` of a hit is one")
    texts = (*examples.texts, *examples.unlike_texts)
    encoded = encode(texts) if texts else Encoded()
    lexical = next((leg for leg in legs if leg.name == LEXICAL), None)
    k1 = snapshot.manifest.lexical.k1 if snapshot.manifest.lexical.kind == "bm25" else None
    vectors: list[tuple[float, Float64]] = []
    words: list[tuple[float, Mapping[int, float]]] = []
    for sign, doc_ids, start, count in (
        (1.0, examples.documents, 0, len(examples.texts)),
        (-AWAY, examples.unlike_documents, len(examples.texts), len(examples.unlike_texts)),
    ):
        share = sign / max(len(doc_ids) + count, 1)
        stored = [[leg.passages(places[doc_id]) for leg in legs] for doc_id in doc_ids]
        given = [[_row(encoded, i)] for i in range(start, start + count)]
        for parts in [*stored, *given]:
            vectors += [(share, _direction(part.dense)) for part in parts if part.dense is not None]
            words += [(share, _weights(part.lexical, k1)) for part in parts if part.lexical is not None]
    own = np.concatenate([np.zeros(0, np.int64), *places.values()])
    chosen = None
    if lexical is not None and words:
        chosen = _heaviest(lexical, _found_elsewhere(snapshot, lexical, _sum(words), own))
    dense = _normalised(np.sum([share * vector for share, vector in vectors], axis=0)) if vectors else None
    liked = np.concatenate([np.zeros(0, np.int64), *(places[doc_id] for doc_id in examples.documents)])
    sample = " ".join([*examples.texts, *snapshot.encoded_texts(liked[:WORDS])])
    queries = EncodedQueries(("",), dense, chosen, None, (dominant_script(sample),))
    return Asked(queries, own)


def words_of(snapshot: Snapshot, examples: Examples, describe: Describe) -> Mapping[int, str]:
    """Return the words that the examples have, by their token ids, for an explanation."""
    stored = [snapshot.chunks_of(doc_id) for doc_id in examples.documents]
    texts = snapshot.encoded_texts(np.concatenate([np.zeros(0, np.int64), *stored]))
    return {token: word for tokens in describe((*examples.texts, *texts)) for token, word in tokens.items()}


def _row(encoded: Encoded, i: int) -> Encoded:
    lexical = None
    if encoded.lexical is not None:
        ids, weights = encoded.lexical.row(i)
        lexical = SparseRows(np.array([0, len(ids)]), ids, weights)
    return Encoded(dense=None if encoded.dense is None else encoded.dense[i : i + 1], lexical=lexical)


def _direction(rows: Float32) -> Float64:
    """The mean of vectors, normalised."""
    direction: Float64 = _normalised(rows.mean(axis=0, dtype=np.float64))[0].astype(np.float64)
    return direction


def _normalised(vector: Float64) -> Float32:
    """The vector at length 1, as one row; one of no direction stays as it is."""
    return np.asarray(vector / (np.linalg.norm(vector) or 1.0), np.float32)[None, :]


def _weights(rows: SparseRows, k1: float | None) -> dict[int, float]:
    """What a text's chunks weigh together, by token. `k1`: of BM25; `None`: weights are a model's."""
    ids, places = np.unique(rows.token_ids, return_inverse=True)
    sums = np.bincount(places, rows.weights.astype(np.float64), len(ids))
    weighed = sums / max(len(rows), 1) if k1 is None else sums * (k1 + 1) / (sums + k1)
    return dict(zip(ids.tolist(), weighed.tolist(), strict=True))


def _sum(parts: Sequence[tuple[float, Mapping[int, float]]]) -> SparseRows:
    total: dict[int, float] = {}
    for share, weights in parts:
        for token, weight in weights.items():
            total[token] = total.get(token, 0.0) + share * weight
    return SparseRows.from_dicts([{token: weight for token, weight in total.items() if weight > 0}])


def _found_elsewhere(snapshot: Snapshot, leg: Leg[Any], rows: SparseRows, own: Ids) -> SparseRows:
    """Without the words that only the examples have."""
    frequencies = snapshot.frequencies(rows.token_ids)
    stored = leg.passages(own).lexical
    if stored is not None:
        ids, counts = np.unique(stored.token_ids, return_counts=True)
        _, here, there = np.intersect1d(rows.token_ids, ids, return_indices=True)
        frequencies[here] -= counts[there]
    return _those(rows, frequencies > 0)


def _those(rows: SparseRows, kept: npt.NDArray[np.bool_]) -> SparseRows:
    return SparseRows(np.array([0, kept.sum()], np.int64), rows.token_ids[kept], rows.weights[kept])


def _heaviest(leg: Leg[Any], rows: SparseRows) -> SparseRows:
    """The words that weigh most as this leg weighs them, idf included."""
    (weighed,) = leg.prepare(EncodedQueries(("",), None, rows, None, ("",))) or [None]
    if weighed is None:
        return rows
    best = np.sort(weighed.token_ids[np.argsort(-weighed.weights, kind="stable")[:WORDS]])
    return _those(rows, np.isin(rows.token_ids, best))
