"""A whole search against the same search written down plainly: every chunk scored in turn, no index.

The reference follows docs and papers alone. It shares the stub's vectors with the index, and nothing else.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.config import FusionSettings, QuerySettings
from pipeline.query.searcher import Index
from tests.faults import stub

WORDS = ("kiwi", "plum", "fig", "lime", "pear", "mango", "색인", "검색")
"""No two share a stem, and each Korean one is one bigram."""
K1, B = 1.2, 0.75

TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
LINE = st.tuples(st.integers(0, 15), TEXT, st.integers(1, 4))
QUERY = st.lists(st.sampled_from((*WORDS, "nowhere")), min_size=1, max_size=2).map(" ".join)


@dataclass(frozen=True)
class Doc:
    """A document that is one chunk, as a line of JSONL."""

    name: str
    text: str
    year: int

    @property
    def chunk_id(self) -> str:
        return f"{self.name}#0"


@dataclass(frozen=True)
class Leg:
    """A leg's scores by document, and its ranking: best first, ties by id, cut at `depth`."""

    scores: dict[Doc, float]
    ranking: list[Doc]
    bound: float


def dense(query: str, docs: list[Doc], depth: int, kept: Callable[[Doc], bool]) -> Leg:
    """Inner products of the stub's vectors."""
    vectors = stub.HashedEncoder().encode_documents([query, *(doc.text for doc in docs)]).dense
    assert vectors is not None
    scores = dict(zip(docs, (vectors[1:].astype(float) @ vectors[0].astype(float)).tolist(), strict=True))
    return Leg(scores, ranked(scores, depth, kept), 0.0)


def bm25(query: str, docs: list[Doc], depth: int, kept: Callable[[Doc], bool]) -> Leg:
    """Robertson's formula with Lucene's idf; statistics are of all live documents, whatever the filter."""
    counts = {doc: Counter(doc.text.split()) for doc in docs}
    mean = sum(len(doc.text.split()) for doc in docs) / len(docs)
    scores = dict.fromkeys(docs, 0.0)
    bound = 0.0
    for word, times in Counter(query.split()).items():
        holding = sum(word in counts[doc] for doc in docs)
        weight = times * math.log(1 + (len(docs) - holding + 0.5) / (holding + 0.5))
        bound += weight * (K1 + 1) if holding else 0.0
        for doc in docs:
            frequency = counts[doc][word]
            norm = K1 * (1 - B + B * counts[doc].total() / mean)
            scores[doc] += weight * frequency * (K1 + 1) / (frequency + norm)
    return Leg(scores, ranked(scores, depth, lambda doc: kept(doc) and scores[doc] > 0), bound)


def ranked(scores: dict[Doc, float], depth: int, kept: Callable[[Doc], bool]) -> list[Doc]:
    return sorted(filter(kept, scores), key=lambda doc: (-round(scores[doc], 5), doc.chunk_id))[:depth]


def is_close_call(scores: dict[Doc, float]) -> bool:
    """Whether documents of other words have the same score but for rounding, so that it decides which is better."""
    matched = sorted(((score, doc) for doc, score in scores.items() if score > 0), key=lambda pair: pair[0])
    return any(
        after - before < 1e-5 and Counter(one.text.split()) != Counter(other.text.split())
        for (before, one), (after, other) in itertools.pairwise(matched)
    )


def normalized(method: str, name: str, leg: Leg, doc: Doc, depth: int) -> float:
    """One leg's share of a candidate's score, before weights."""
    score, best = leg.scores[doc], [leg.scores[one] for one in leg.ranking]
    match method:
        case "rrf":
            return 1 / (60 + leg.ranking.index(doc) + 1) if doc in leg.ranking else 0.0
        case "weighted":
            return score
        case "theoretical":
            return (score + 1) / 2 if name == "dense" else score / leg.bound if leg.bound else 0.0
        case "minmax":
            top = best[0] if best else 0.0
            floor = 0.0 if not best or (name == "lexical" and len(best) < depth) else best[-1]
            if top - floor < 1e-9:
                return float(doc in leg.ranking)
            return min(max((score - floor) / (top - floor), 0.0), 1.0)
    raise AssertionError(method)


def search(
    query: str, docs: list[Doc], method: str, weights: dict[str, float], depth: int, kept: Callable[[Doc], bool]
) -> tuple[dict[Doc, float], dict[str, Leg]]:
    """Every candidate's score: those among the best `depth` of a leg."""
    legs = {"dense": dense(query, docs, depth, kept), "lexical": bm25(query, docs, depth, kept)}
    total = 1.0 if method == "rrf" else sum(weights.values())
    return {
        doc: sum(normalized(method, name, leg, doc, depth) * weights[name] / total for name, leg in legs.items())
        for doc in docs
        if any(doc in leg.ranking for leg in legs.values())
    }, legs


@st.composite
def nights(draw: st.DrawFn) -> list[list[Doc]]:
    """A collection, and what became of it in up to two later nights."""
    docs: dict[int, Doc] = {}
    result = []
    for _ in range(draw(st.integers(1, 3))):
        for number in draw(st.lists(st.integers(0, 15), max_size=4)):
            docs.pop(number, None)
        for number, text, year in draw(
            st.lists(st.tuples(st.integers(0, 15), TEXT, st.integers(1, 4)), max_size=9)
        ):
            docs[number] = Doc(f"{number:02}", text, year)
        if docs:
            result.append(list(docs.values()))
    return result or [[Doc("00", "kiwi", 1)]]


WEIGHT = st.sampled_from([0.2, 1.0, 3.0])


@pytest.mark.parametrize("method", ["rrf", "weighted", "theoretical", "minmax"])
@settings(max_examples=25)
@given(
    nights=nights(),
    queries=st.lists(QUERY, min_size=1, max_size=3),
    weights=st.fixed_dictionaries({"dense": WEIGHT, "lexical": WEIGHT}),
    depth=st.sampled_from([1, 3, 100]),
    since=st.sampled_from([None, 2, 5]),
)
def test_a_search_is_what_the_documentation_says(
    tmp_path_factory: pytest.TempPathFactory,
    method: str,
    nights: list[list[Doc]],
    queries: list[str],
    weights: dict[str, float],
    depth: int,
    since: int | None,
) -> None:
    base = tmp_path_factory.mktemp("reference")
    with built(base, nights) as index:
        index.settings = QuerySettings(depth=depth)
        fusion = FusionSettings(method=method, weights=weights)
        where = None if since is None else f"year >= {since}"
        found = index.search_many(queries, depth, fusion=fusion, where=where)
    docs = nights[-1]
    named = {doc.chunk_id: doc for doc in docs}
    for query, hits in zip(queries, found, strict=True):
        wanted, legs = search(query, docs, method, weights, depth, lambda doc: since is None or doc.year >= since)
        assume(not is_close_call(legs["lexical"].scores))
        best = sorted(wanted.values(), reverse=True)[:depth]
        assert [hit.score for hit in hits] == pytest.approx(best, abs=2e-5)
        for hit in hits:
            doc = named[hit.chunk_id]
            assert hit.score == pytest.approx(wanted[doc], abs=2e-5)
            for name, leg in legs.items():
                assert hit.legs[name].score == pytest.approx(leg.scores[doc], abs=2e-5)
                assert hit.legs[name].rank == (leg.ranking.index(doc) + 1 if doc in leg.ranking else None)


def built(base: Path, nights: list[list[Doc]]) -> Index:
    """The index after all nights."""
    (base / "documents").mkdir()
    config = stub.stub_config(
        base, segments={"max_chunks": 5, "dense": "Flat"}, max_delete_ratio=1, gate={"min_document_ratio": 0}
    )
    for docs in nights:
        lines = [json.dumps({"_id": doc.name, "text": doc.text, "year": doc.year}) for doc in docs]
        (base / "documents/all.jsonl").write_text("\n".join(lines), "utf-8")
        stub.build(config)
    return stub.open_index(config.index_path)
