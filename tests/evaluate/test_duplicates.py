"""Near-duplicates: which documents are joined, whatever the blocks, and how far they are alike."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Bm25Settings
from pipeline.errors import QueryError
from pipeline.evaluate.duplicates import UnionFind, duplicates, jaccard
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.query.dedupe import shingles
from pipeline.query.searcher import Index
from tests.faults import stub
from tests.support.collection import config_for, write_documents
from tests.support.command_line import run

STORY = "The lamp stood on the table and nobody had lit it for a week, since the oil was gone. "
TEXTS = {
    "a.txt": STORY * 3,
    "b.txt": STORY * 3 + "Really.",
    "c.txt": STORY.replace("lamp", "lamps") * 3,
    "d.txt": "Ports and gateways of a network are another matter altogether, as everybody knows.",
    "e.txt": "Ports and gateways of a network are another matter altogether, as everybody knows.",
    "f.txt": "한국어 문장은 두 글자씩 겹쳐 자른 바이그램으로 색인합니다.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("copies")
    write_documents(base / "documents", TEXTS)
    stub.build(config_for(base))
    (base / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    return base


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return stub.open_index(folder / "index")


@pytest.mark.parametrize("block", [1, 2, 256])
def test_clusters_are_those_that_all_pairs_give(index: Index, block: int) -> None:
    """The collection is small enough for every passage to be among the nearest."""
    for similarity in (0.5, 0.8, 0.99, 1.0):
        expected = UnionFind()
        for one, two in combinations(sorted(TEXTS), 2):
            if jaccard(shingles(TEXTS[one]), shingles(TEXTS[two])) >= similarity:
                expected.join(one, two)
        found = duplicates(index, similarity, block=block)
        assert [[copy.doc_id for copy in cluster] for cluster in found.clusters] == expected.groups()
        assert (found.passages, found.documents) == (6, 6)


def test_copies_and_how_far_they_are_alike(index: Index) -> None:
    found = duplicates(index, 1.0)
    (cluster,) = found.clusters
    assert [(copy.doc_id, copy.similarity, copy.chunks) for copy in cluster] == [
        ("d.txt", 1.0, 1),
        ("e.txt", 1.0, 1),
    ]
    assert found.copies == 1


def test_deleted_documents_are_nobodys_copies(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents", TEXTS)
    stub.build(config_for(tmp_path))
    (tmp_path / "documents/e.txt").unlink()
    stub.build(config_for(tmp_path))
    with stub.open_index(tmp_path / "index") as index:
        assert duplicates(index, 1.0).clusters == ()


def test_an_index_without_vectors_is_asked_by_its_words(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents", TEXTS)
    words = Bm25Encoder(Bm25Settings())
    stub.build(config_for(tmp_path), encoder=words)
    with stub.open_index(tmp_path / "index", encoder=words) as index:
        (cluster,) = duplicates(index, 1.0).clusters
    assert [copy.doc_id for copy in cluster] == ["d.txt", "e.txt"]


def test_share_of_shingles_by_hand() -> None:
    # abcdef: abcde bcdef; abcdeg: abcde bcdeg: one of three is shared
    assert jaccard(shingles("abcdef"), shingles("abcdeg")) == pytest.approx(1 / 3)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"))))
def test_groups_are_the_connected_parts(pairs: list[tuple[str, str]]) -> None:
    found = UnionFind()
    reached = {name: {name} for name in "abcdefgh"}
    for one, two in pairs:
        found.join(one, two)
        both = reached[one] | reached[two]
        for name in both:
            reached[name] = both
    expected = {frozenset(group) for group in reached.values() if len(group) > 1}
    assert {frozenset(group) for group in found.groups()} == expected


def test_a_similarity_that_makes_no_sense(index: Index) -> None:
    for wrong in (0.0, 1.5, -1.0):
        with pytest.raises(QueryError, match="similarity"):
            duplicates(index, wrong)


def test_the_command_tells_the_clusters(folder: Path) -> None:
    told = run(folder, "duplicates", "--similarity", "1", "--json", options=stub.options())
    assert told.exit_code == 0, told.output
    record = json.loads(told.stdout)
    assert [[copy["doc_id"] for copy in cluster] for cluster in record["clusters"]] == [["d.txt", "e.txt"]]
    assert record["copies"] == 1
    text = run(folder, "duplicates", options=stub.options())
    assert "could be left out" in text.stdout
