"""Search by example: stored vectors and words ask, and what they came from is no hit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QueryError
from pipeline.job import build as builder
from pipeline.query.searcher import Index, open_index
from pipeline.query.similar import AWAY, WORDS, Examples, as_query
from tests.support.collection import TEXTS, config_for, write_documents

LONG = "\n\n".join(
    f"Paragraph {i} is about {word} and about ports, gateways, tunnels and routers of the network."
    for i, word in enumerate(
        ["ash", "birch", "cedar", "fir", "juniper", "larch", "maple", "oak", "pine", "willow"] * 3
    )
)
MORE = {
    "en/network.txt": LONG,
    "en/network-2.txt": "Gateways, routers and tunnels of the network, and which ports are open.",
    "en/gone.txt": "A gateway that will be taken away.",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Two segments, one of them with a deletion."""
    folder = tmp_path_factory.mktemp("similar")
    documents = write_documents(folder / "documents", TEXTS | MORE)
    config = config_for(
        folder,
        chunking={"max_tokens": 60, "overlap_tokens": 0},
        segments={"max_chunks": 8},
        encoder={"model": "embedded"},
    )
    builder.build(config)
    (documents / "en/gone.txt").unlink()
    builder.build(config)
    with open_index(config.index_path) as opened:
        yield opened


def found(index: Index, examples: Examples, **options: object) -> list[str]:
    return [hit.doc_id for hit in index.similar(examples, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_a_document_finds_its_like_and_not_itself(index: Index, mode: str) -> None:
    assert found(index, Examples(documents=("en/network.txt",)), k=1, mode=mode) == ["en/network-2.txt"]
    everything = found(index, Examples(documents=("en/network.txt",)), k=100, mode="dense")
    assert sorted(everything) == sorted({*TEXTS, "en/network-2.txt"})


def test_the_query_is_made_of_what_is_stored(index: Index) -> None:
    """By hand: the mean of the chunks' vectors, less half of the other's, at length 1; both are unit vectors."""

    def direction(doc_id: str) -> np.ndarray:
        rows = index.leg("dense").passages(index.snapshot.chunks_of(doc_id)).dense
        assert rows is not None
        mean = rows.astype(np.float64).mean(0)
        return np.asarray(mean / np.linalg.norm(mean))

    legs = [index.leg(name) for name in index.legs]
    examples = Examples(documents=("en/network.txt",), unlike_documents=("en/bm25.md",))
    asked = as_query(index.snapshot, legs, index.encoder.encode_documents, examples)
    wanted = direction("en/network.txt") - AWAY * direction("en/bm25.md")
    assert asked.queries.dense is not None
    np.testing.assert_allclose(asked.queries.dense[0], wanted / np.linalg.norm(wanted), atol=1e-6)


def test_stored_words_are_those_that_the_text_has(index: Index) -> None:
    for doc_id in (*TEXTS, "en/network.txt"):
        numbers = index.snapshot.chunks_of(doc_id)
        stored = index.leg("lexical").passages(numbers[::-1]).lexical
        fresh = index.encoder.encode_documents(index.snapshot.encoded_texts(numbers[::-1])).lexical
        assert stored is not None
        assert fresh is not None
        for row in range(len(numbers)):
            for one, two in zip(stored.row(row), fresh.row(row), strict=True):
                np.testing.assert_array_equal(one, two)


def test_few_words_ask_and_none_of_them_is_negative(index: Index) -> None:
    legs = [index.leg(name) for name in index.legs]
    whole = as_query(index.snapshot, legs, index.encoder.encode_documents, Examples(documents=("en/network.txt",)))
    less = as_query(
        index.snapshot,
        legs,
        index.encoder.encode_documents,
        Examples(documents=("en/network.txt",), unlike_documents=("en/network-2.txt",)),
    )
    for asked in (whole, less):
        assert asked.queries.lexical is not None
        assert 0 < len(asked.queries.lexical.token_ids) <= WORDS
        assert not set(asked.queries.lexical.token_ids.tolist()) & set(
            index.encoder.describe_tokens("birch willow")
        )
        assert (asked.queries.lexical.weights > 0).all()
        assert (np.diff(asked.queries.lexical.token_ids.astype(object)) > 0).all()


def test_a_text_asks_as_the_document_of_that_text(index: Index) -> None:
    text = MORE["en/network-2.txt"]
    by_text = index.similar(Examples(texts=(text,)), 100, "dense")
    by_document = index.similar(Examples(documents=("en/network-2.txt",)), 100, "dense")
    assert by_text.pop(0).doc_id == "en/network-2.txt"
    assert [hit.chunk_id for hit in by_text] == [hit.chunk_id for hit in by_document]


def test_a_counter_example_moves_hits_down(index: Index) -> None:
    plain = found(index, Examples(texts=("build rollback",)), k=100)
    other = found(index, Examples(texts=("build rollback",), unlike_documents=("en/rollback.md",)), k=100)
    assert plain[0] == "en/rollback.md"
    assert "en/rollback.md" not in other
    assert set(other) == set(plain) - {"en/rollback.md"}


@settings(max_examples=25, deadline=None)
@given(
    st.sets(st.sampled_from([*TEXTS, "en/network.txt", "en/network-2.txt"]), min_size=1, max_size=4),
    st.integers(1, 9),
)
def test_examples_are_never_hits_and_the_first_do_not_depend_on_k(index: Index, doc_ids: set[str], k: int) -> None:
    examples = Examples(documents=tuple(sorted(doc_ids)))
    for collapse in (True, False):
        hits = index.similar(examples, k, collapse=collapse)
        more = index.similar(examples, k + 5, collapse=collapse)
        assert not doc_ids & {hit.doc_id for hit in more}
        assert [hit.chunk_id for hit in hits] == [hit.chunk_id for hit in more[:k]]
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        assert all(one.score >= two.score for one, two in itertools.pairwise(hits))


def test_a_filter_narrows(index: Index) -> None:
    hits = found(index, Examples(documents=("en/rollback.md",)), k=50, where="doc_id like 'ko/%'")
    assert set(hits) == {"ko/tokens.md", "ko/rollback.md"}


@pytest.mark.parametrize(
    ("examples", "says"),
    [
        (lambda: Examples(), "at least one"),
        (lambda: Examples(unlike_texts=("a",)), "at least one"),
        (lambda: Examples(texts=(" ",)), "a text is empty"),
        (lambda: Examples(documents="en/bm25.md"), "list of ids"),  # type: ignore[arg-type]
        (lambda: Examples(texts=(1,)), "list of texts"),  # type: ignore[arg-type]
        (lambda: Examples(documents=("en/gone.txt",)), "no such document"),
        (lambda: Examples(texts=("a",), unlike_documents=("x",)), "no such document"),
        (lambda: "en/bm25.md", "give pipeline.query.similar.Examples"),
    ],
)
def test_mistakes_get_one_line(index: Index, examples: object, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        index.similar(examples())  # type: ignore[operator]


def test_a_lexical_index_answers_too(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    config = config_for(tmp_path, encoder={"model": "none"})
    builder.build(config)
    with open_index(config.index_path) as opened:
        assert found(opened, Examples(texts=("rank fusion of every leg",)), k=1) == ["en/fusion.md"]
        assert found(opened, Examples(texts=("zzz",))) == []
