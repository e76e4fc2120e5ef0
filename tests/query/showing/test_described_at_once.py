"""An encoder that must encode a text to describe it is asked as seldom as can be, for the same hits."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.models.choose.encoder import MixedEncoder
from pipeline.models.endpoint.encoders import endpoint_encoder
from pipeline.models.endpoint.settings import EndpointSettings
from pipeline.query.request import SearchRequest
from pipeline.query.similar import Examples
from pipeline.query.together import Asked, _answered
from pipeline.records import SparseRows
from pipeline.render.hit_tables import hits_table
from tests.faults import stub
from tests.models.endpoint_server import EndpointServer, weights
from tests.models.endpoint_server import running_fixture as running_fixture
from tests.models.endpoint_server import server_fixture as server_fixture
from tests.support.collection import config_for, write_documents

TEXTS = {
    "one.txt": "apples and pears",
    "two.txt": "pears are not apples but plums are",
    "three.txt": "figs and plums",
}
QUERY = "apples and plums"


class OneByOne(MixedEncoder):
    """Describes each text by a call of its own."""

    def describe_queries(self, texts: Sequence[str], rows: SparseRows | None = None) -> Sequence[Mapping[int, str]]:
        return [self.describe_tokens(text) for text in texts]


def served(server: EndpointServer, kind: type[MixedEncoder] = MixedEncoder) -> MixedEncoder:
    """Lexical weights from a server, vectors from none."""
    settings = EndpointSettings("test/model", "tei", server.url, leg="lexical")
    return kind(stub.HashedEncoder(), endpoint_encoder(settings))  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path, server: EndpointServer) -> Path:
    server.info = None
    write_documents(tmp_path / "documents", TEXTS)
    config = config_for(tmp_path)
    stub.build(config, encoder=served(server))
    server.requests.clear()
    return config.index_path


def sent(server: EndpointServer) -> list[list[str]]:
    return [body["inputs"] for _, _, body in server.posts]


def test_an_explanation_names_the_tokens_of_the_query_as_it_was_encoded(path: Path, server: EndpointServer) -> None:
    with stub.open_index(path, encoder=served(server)) as index:
        hits = index.search(QUERY, explain=True)
    assert sent(server) == [[QUERY]]
    names = {f"token {token}" for token in weights(QUERY)}
    assert {match.token for hit in hits for match in hit.matches} == names
    with stub.open_index(path, encoder=served(server, OneByOne)) as index:
        assert index.search(QUERY, explain=True) == hits


def test_queries_that_go_together_are_described_each_by_its_own_weights(path: Path, server: EndpointServer) -> None:
    texts = [QUERY, "figs", "pears"]
    with stub.open_index(path, encoder=served(server)) as index:
        together = index.search_many(texts, explain=True)
        assert sent(server) == [texts]
        alone = [index.search(text, explain=True) for text in texts]
        assert together == alone
        requests = [SearchRequest.for_texts(index, part, explain=True) for part in (texts[:1], texts[1:])]
        answers = _answered(index._ranker, [Asked(request, with_hits=True) for request in requests], lambda: None)
    assert [hits for answer in answers for hits in answer.hits] == alone


def test_the_words_of_all_hits_are_asked_about_in_one_request(path: Path, server: EndpointServer) -> None:
    words = {word for text in TEXTS.values() for word in text.split()}
    with stub.open_index(path, encoder=served(server)) as index:
        hits = index.search(QUERY, highlights=True, explain=True)
        first, second = sent(server)
        server.requests.clear()
        console = Console(file=io.StringIO(), width=100)
        hits_table(console, QUERY, index, hits, [])
        again = sent(server)
    assert first == [QUERY]
    assert set(second) == words
    assert len(second) == len(words)
    assert [again[0], set(again[1])] == [[QUERY], words]
    assert len(again) == 2, "the table asks for the query's tokens, then for those of all words"
    with stub.open_index(path, encoder=served(server, OneByOne)) as index:
        assert index.search(QUERY, highlights=True, explain=True) == hits
    assert {hit.text[a:b] for hit in hits if hit.highlight for a, b in hit.highlight.spans} == set(QUERY.split())


def test_examples_are_described_in_one_request(path: Path, server: EndpointServer) -> None:
    with stub.open_index(path, encoder=served(server)) as index:
        hits = index.similar(Examples(documents=("one.txt", "three.txt")), explain=True)
    assert [set(texts) for texts in sent(server)] == [{TEXTS["one.txt"], TEXTS["three.txt"]}]
    assert {match.token for hit in hits for match in hit.matches} <= {
        f"token {token}" for name in ("one.txt", "three.txt") for token in weights(TEXTS[name])
    }
    assert any(hit.matches for hit in hits)
