"""A search over shards against the same search of the whole: equal to the last digit."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import QuerySettings
from pipeline.errors import QueryError
from pipeline.ingest.cutting.contract import chunks_of
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.query.access import ALL_GROUPS
from pipeline.query.searcher import Index
from pipeline.query.similar import Examples
from pipeline.records import Chunk, Document, Encoded, Fingerprint, SparseRows
from tests.faults import stub
from tests.support.sharded import front
from tests.support.sharded_nights import CONDITIONS, METHODS, QUERY, WORDS, Night, built, nights, outcome


@settings(max_examples=20, deadline=None)
@given(
    nights=nights(),
    shards=st.integers(1, 4),
    queries=st.lists(QUERY, min_size=1, max_size=3),
    depth=st.sampled_from([1, 3, 100]),
    searches=st.lists(
        st.fixed_dictionaries(
            {
                "k": st.sampled_from([1, 4, 50]),
                "mode": st.sampled_from(["hybrid", "dense", "lexical"]),
                "fusion": st.sampled_from(METHODS),
                "where": st.sampled_from(CONDITIONS),
                "collapse": st.booleans(),
                "distinct": st.sampled_from([None, 0.5, 1.0]),
                "explain": st.booleans(),
                "context": st.sampled_from([0, 2]),
                "rerank": st.sampled_from([None, "multivectors"]),
            }
        ),
        min_size=4,
        max_size=8,
    ),
)
def test_a_search_over_shards_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    nights: list[Night],
    shards: int,
    queries: list[str],
    depth: int,
    searches: list[dict[str, Any]],
) -> None:
    config = built(tmp_path_factory.mktemp("parity"), nights)
    chosen = QuerySettings(depth=depth)
    sharded, _ = front(config.index_path, shards, settings=chosen)
    with stub.open_index(config.index_path, settings=chosen) as whole, sharded:
        for options in searches:
            assert outcome(sharded, queries, options) == outcome(whole, queries, options)


@settings(max_examples=12, deadline=None)
@given(nights=nights(), shards=st.integers(2, 4), condition=st.sampled_from(CONDITIONS))
def test_all_else_that_an_index_answers_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, nights: list[Night], shards: int, condition: str | None
) -> None:
    config = built(tmp_path_factory.mktemp("others"), nights)
    sharded, _ = front(config.index_path, shards)
    doc_id = f"{min(nights[-1]):02}"
    with stub.open_index(config.index_path) as whole, sharded:
        assert sharded.manifest == whole.manifest
        assert sharded.legs == whole.legs
        assert sharded.document(doc_id) == whole.document(doc_id) != []
        assert sharded.document("nowhere") == []
        fields = whole.snapshot.columns.names
        assert sharded.snapshot.columns.names == fields
        assert _facets(sharded, fields, condition) == _facets(whole, fields, condition)
        examples = Examples(documents=(doc_id,), unlike_texts=("plum",))
        assert sharded.similar(examples, 5) == whole.similar(examples, 5)
        explained = [one.similar(examples, 5, explain=True) for one in (sharded, whole)]
        assert explained[0] == explained[1]
        requests = [_request(index, ("kiwi 색인", "plum")) for index in (sharded, whole)]
        assert sharded.trust(requests[0]) == whole.trust(requests[1])


class InPieces:
    """A chunker that cuts a text every 12 characters, so that documents go on in the next segment."""

    fingerprint = Fingerprint.of(kind="pieces")

    def chunk(self, document: Document) -> Iterator[Chunk]:
        size = len(document.text)
        return chunks_of(document, [(start, min(start + 12, size)) for start in range(0, size, 10)])


@settings(max_examples=12, deadline=None)
@given(nights=nights(), shards=st.integers(2, 4), condition=st.sampled_from(CONDITIONS), k=st.sampled_from([2, 60]))
def test_documents_that_several_shards_have_are_one(
    tmp_path_factory: pytest.TempPathFactory, nights: list[Night], shards: int, condition: str | None, k: int
) -> None:
    config = built(tmp_path_factory.mktemp("cut"), nights, chunker=InPieces())
    sharded, _ = front(config.index_path, shards)
    with stub.open_index(config.index_path) as whole, sharded:
        for options in ({"context": 3}, {"collapse": True}, {"collapse": True, "where": condition, "context": 1}):
            asked = {"k": k, "explain": True, **options}
            assert outcome(sharded, ["kiwi fig", "색인"], asked) == outcome(whole, ["kiwi fig", "색인"], asked)
        fields = whole.snapshot.columns.names
        assert _facets(sharded, fields, condition) == _facets(whole, fields, condition)
        for doc_id in (f"{number:02}" for number in nights[-1]):
            assert sharded.document(doc_id) == whole.document(doc_id)
        assert sharded._whole.shared_documents.count(sharded._whole.questions.all) == whole.manifest.documents  # type: ignore[attr-defined]


class Learned(stub.HashedEncoder):
    """Beside the vectors a weight for each word, as a model gives it, and none of BM25's counts."""

    lexical_fingerprint = Fingerprint.of(kind="learned")
    lexical_scoring = LexicalScoring("dot")
    runtime = Runtime("numpy", "cpu", "f32")

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        rows = [{zlib.crc32(word.encode()): 1 / (1 + len(word)) for word in text.split()} for text in texts]
        return dataclasses.replace(super().encode_documents(texts), lexical=SparseRows.from_dicts(rows))

    encode_queries = encode_documents

    def describe_tokens(self, text: str) -> dict[int, str]:
        return {zlib.crc32(word.encode()): word for word in text.split()}


@settings(max_examples=8, deadline=None)
@given(nights=nights(), shards=st.integers(2, 3), queries=st.lists(QUERY, min_size=1, max_size=2))
def test_learned_weights_are_bounded_as_in_the_whole(
    tmp_path_factory: pytest.TempPathFactory, nights: list[Night], shards: int, queries: list[str]
) -> None:
    config = built(tmp_path_factory.mktemp("learned"), nights, encoder=Learned())
    sharded, _ = front(config.index_path, shards, encoder=Learned())
    with stub.open_index(config.index_path, encoder=Learned()) as whole, sharded:
        for fusion in METHODS:
            options = {"fusion": fusion, "explain": True, "k": 20}
            assert outcome(sharded, queries, options) == outcome(whole, queries, options)


def test_an_approximate_lexical_index_proposes_what_it_does_at_home(tmp_path: Path) -> None:
    pytest.importorskip("seismic")
    docs: Night = {n: (" ".join(f"w{n * k % 37}" for k in range(1, 9)), 1, None) for n in range(400)}
    segments = {"max_chunks": 200, "lexical": "seismic", "auto_compact": False}
    config = built(tmp_path, [docs], encoder=Learned(), segments=segments)
    chosen = QuerySettings(depth=5)
    sharded, _ = front(config.index_path, 2, encoder=Learned(), settings=chosen)
    with stub.open_index(config.index_path, encoder=Learned(), settings=chosen) as whole, sharded:
        assert all(entry.lexical is not None for entry in whole.manifest.segments)
        for k in (3, 40):
            for mode in ("hybrid", "lexical"):
                assert sharded.search("w3 w5 w7", k, mode) == whole.search("w3 w5 w7", k, mode)


@pytest.mark.parametrize("kind", ["IVF4,SQfp16", "HNSW8,SQfp16"])
def test_approximate_segments_propose_what_they_do_at_home(tmp_path: Path, kind: str) -> None:
    nights = [{number: (f"{WORDS[number % 8]} {number}", 1, None) for number in range(60)}]
    segments = {"max_chunks": 20, "dense": kind, "auto_compact": False}
    config = built(tmp_path, nights, segments=segments)
    sharded, _ = front(config.index_path, 2, settings=QuerySettings(depth=5))
    with stub.open_index(config.index_path, settings=QuerySettings(depth=5)) as whole, sharded:
        for k in (3, 20):
            assert sharded.search("kiwi 7", k) == whole.search("kiwi 7", k)


def _facets(index: Index, fields: list[str], condition: str | None) -> object:
    try:
        return index.facets(fields, condition, None)
    except QueryError as error:
        return str(error)


def _request(index: Index, texts: tuple[str, ...]) -> Any:
    from pipeline.query.request import SearchRequest

    return SearchRequest.for_texts(index, texts)


def test_groups_are_seen_as_in_the_whole(tmp_path: Path) -> None:
    from tests.support import grouped

    config = grouped.built(tmp_path, grouped.records(), access_field="groups")
    sharded, _ = front(config.index_path, 3)
    with stub.open_index(config.index_path, groups=ALL_GROUPS) as whole, sharded:
        for groups in (["staff"], ["board", "hr"], [], ["nobody"], ALL_GROUPS):
            one, other = sharded.for_groups(groups), whole.for_groups(groups)
            assert (one.manifest.chunks, one.manifest.documents) == (
                other.manifest.chunks,
                other.manifest.documents,
            )
            assert outcome(one, ["plums 사과", "secret"], {"k": 20, "explain": True}) == outcome(
                other, ["plums 사과", "secret"], {"k": 20, "explain": True}
            )
            assert one.snapshot.columns.names == other.snapshot.columns.names
            assert _facets(one, ["year"], None) == _facets(other, ["year"], None)
            for condition in ("year > 2003", "secret_key is null", "year = 'never'"):
                options = {"k": 20, "where": condition}
                assert outcome(one, ["document"], options) == outcome(other, ["document"], options)
