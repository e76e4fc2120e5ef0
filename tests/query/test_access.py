"""Access by document: to a reader, an index is one that never held what others may see."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.errors import QueryError
from pipeline.index import store
from pipeline.query.access import ALL_GROUPS, NO_GROUPS, chosen_groups, named_groups, narrowed
from pipeline.query.searcher import Index
from pipeline.query.similar import Examples
from tests.faults import stub
from tests.support.grouped import built, records

QUERIES = ["plums and apples", "a document about number 7", "사과", "secret", "plums"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """An index that is shown by groups."""
    return built(tmp_path_factory.mktemp("access"), records(), access_field="groups")


@pytest.fixture(scope="module")
def whole(config: Config) -> Iterator[Index]:
    """The index as its owner sees it."""
    with stub.open_index(config.index_path, groups=ALL_GROUPS) as index:
        yield index


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Index]]:
    """For each group, an index that holds only what this group may see."""
    opened = {}
    for group in ("all", "staff", "hr"):
        own = [one for one in records() if group in one.get("groups", ())]
        config = built(tmp_path_factory.mktemp(group), own)
        opened[group] = stub.open_index(config.index_path)
    yield opened
    for index in opened.values():
        index.close()


def plain(hits: Any) -> list[Any]:
    """Hits without what tells indexes apart."""
    return [
        (hit.chunk_id, hit.score, hit.text, hit.metadata, hit.legs, hit.matches, hit.before, hit.after)
        for hit in hits
    ]


@pytest.mark.parametrize("group", ["all", "staff", "hr"])
@pytest.mark.parametrize("mode", ["dense", "lexical"])
@pytest.mark.parametrize(
    "options",
    [{}, {"collapse": True, "context": 2}, {"distinct": 0.5}, {"explain": True}, {"rerank": "multivectors"}],
    ids=str,
)
def test_a_reader_finds_what_an_index_without_the_rest_finds(
    whole: Index, pure: Mapping[str, Index], group: str, mode: str, options: dict[str, Any]
) -> None:
    seen = whole.for_groups([group, "unknown"])
    assert (seen.manifest.chunks, seen.manifest.documents) == (
        pure[group].manifest.chunks,
        pure[group].manifest.documents,
    )
    for text in QUERIES:
        for k in (3, 500):
            assert plain(seen.search(text, k, mode, **options)) == plain(
                pure[group].search(text, k, mode, **options)
            )


@pytest.mark.parametrize("group", ["all", "staff", "hr"])
def test_hybrid_hits_facets_documents_and_columns_are_theirs_too(
    whole: Index, pure: Mapping[str, Index], group: str
) -> None:
    seen, alone = whole.for_groups([group]), pure[group]
    for fusion in ("rrf", "zscore"):
        for text in QUERIES:
            assert plain(seen.search(text, 500, fusion=fusion)) == plain(alone.search(text, 500, fusion=fusion))
    assert seen.facets(["groups", "doc_id"], limit=None) == alone.facets(["groups", "doc_id"], limit=None)
    where = "doc_id like 'd%5'"
    assert seen.facets(["groups"], where) == alone.facets(["groups"], where)
    for number in range(60):
        assert seen.document(f"d{number}") == alone.document(f"d{number}")
    assert seen.snapshot.columns.names == alone.snapshot.columns.names
    assert "secret_key" not in seen.snapshot.columns.names


def test_what_is_similar_is_sought_among_what_a_reader_sees(whole: Index, pure: Mapping[str, Index]) -> None:
    seen, alone = whole.for_groups(["all"]), pure["all"]
    for mode in ("dense", "lexical"):
        wanted = alone.similar(Examples(documents=("d2",)), 50, mode)
        assert plain(seen.similar(Examples(documents=("d2",)), 50, mode)) == plain(wanted)
    for hidden in (Examples(documents=("d1",)), Examples(documents=("d2",), unlike_documents=("d1",))):
        with pytest.raises(QueryError) as refusal:
            seen.similar(hidden)
        with pytest.raises(QueryError) as unknown:
            alone.similar(hidden)
        assert str(refusal.value) == str(unknown.value)


@pytest.mark.parametrize(
    "where",
    [
        "true",
        "true or true",
        "1 = 1) or (1 = 1",
        "groups is not null or true",
        "list_contains(groups, 'board') or doc_id = 'd1'",
        "not false -- and nothing else",
        "doc_id = 'd1'",
        "year = 'never'",
        "chunk_id is not null",
        "chunks is not null",
    ],
)
def test_no_condition_leads_to_what_a_reader_may_not_see(whole: Index, where: str) -> None:
    seen = whole.for_groups(["all"])
    allowed = {one["_id"] for one in records() if "all" in one.get("groups", ())}
    with contextlib.suppress(QueryError):
        assert {hit.doc_id for hit in seen.search("plums", 500, "dense", where=where)} <= allowed


def test_an_error_tells_nothing_of_hidden_values(whole: Index) -> None:
    seen = whole.for_groups(["all"])
    where = "cast(year as integer) >= 2000"  # fails on what the board alone may see
    with pytest.raises(QueryError):
        whole.search("plums", 5, where=where)
    assert len(seen.search("plums", 500, "dense", where=where)) == seen.manifest.chunks
    with pytest.raises(QueryError) as refusal:
        seen.search("plums", 5, where="secret_key = 'x'")
    assert "secret_key`" not in str(refusal.value).replace("`secret_key`", "", 1)


def test_without_groups_nothing_is_found(config: Config, whole: Index, caplog: pytest.LogCaptureFixture) -> None:
    for groups in (None, [], ["unknown"], ["Staff"], ["staf"], ["*"], [""]):
        caplog.clear()
        with stub.open_index(config.index_path, groups=groups) as index:
            assert ("so nothing is found" in caplog.text) == (groups is None)
            for mode in ("dense", "lexical", "hybrid"):
                assert index.search("plums", 10, mode) == []
            assert index.document("d0") == []
            (facet,) = index.facets(["doc_id"])
            assert facet.values == ()
            assert (index.manifest.chunks, index.manifest.documents) == (0, 0)
            assert index.for_groups(ALL_GROUPS).search("plums") == []
    assert len({hit.doc_id for hit in whole.search("plums", 500, "dense")}) == 60


def test_a_document_without_the_field_is_for_its_owner_alone(whole: Index) -> None:
    every_group = whole.for_groups(["staff", "all", "board", "hr", "", "None", "null"])
    assert not every_group.document("d4")
    assert whole.document("d4")


def test_groups_stay_when_an_index_moves_on_and_travels(tmp_path: Path) -> None:
    config = built(tmp_path, records(), access_field="groups")
    with stub.open_index(config.index_path, groups=["hr"]) as index:
        before = plain(index.search("plums", 50, "dense"))
        copy = pickle.loads(pickle.dumps(index))
        assert plain(copy.search("plums", 50, "dense")) == before
        lines = (tmp_path / "documents" / "records.jsonl").read_text()
        added = json.dumps({"_id": "new", "text": "plums of the board", "groups": ["board"]}) + "\n"
        (tmp_path / "documents" / "records.jsonl").write_text(lines + added)
        stub.build(config)
        moved = index.refresh()
        assert moved is not index
        assert plain(moved.search("plums", 50, "dense")) == before
        assert moved.refresh() is moved
        moved.close()
        copy.close()


def test_a_view_is_kept_and_ends_with_its_index(config: Config) -> None:
    with stub.open_index(config.index_path, groups=ALL_GROUPS) as index:
        view = index.for_groups(["hr", "all"])
        assert index.for_groups(["all", "hr"]) is view
        assert view.for_groups(["hr"]).groups == {"hr"}
        assert index.for_groups(ALL_GROUPS) is index
        for number in range(100):
            index.for_groups([str(number)])
        assert plain(view.search("plums")) == plain(index.for_groups(["all", "hr"]).search("plums"))
    with pytest.raises(QueryError, match="closed"):
        view.search("plums")


def test_the_field_is_of_the_generation(tmp_path: Path) -> None:
    config = built(tmp_path, records())
    with stub.open_index(config.index_path, groups=["hr"]) as index:
        assert index.document("d1")  # everybody may see everything
        protected = config.model_copy(update={"access_field": "groups"})
        stub.build(protected)  # publishes although no document has changed
        moved = index.refresh()
        assert not moved.document("d1")
        assert moved.document("d3")
        moved.close()
    restored = store.rollback(config.index_path)
    assert restored.access_field == "groups"
    with stub.open_index(config.index_path) as index:
        assert not index.document("d1")


def test_what_says_nothing_of_groups_is_as_before(tmp_path: Path) -> None:
    config = built(tmp_path, records()[:3])
    manifest = json.loads((config.index_path / "manifest-00000001.json").read_text())
    assert "access_field" not in manifest
    with stub.open_index(config.index_path) as index:
        assert index.for_groups(["hr"]) is index


@pytest.mark.parametrize("groups", ["staff", 3, [3], {"a": 1}.values(), b"x", [None]])
def test_groups_are_listed_as_texts(groups: Any) -> None:
    with pytest.raises(QueryError, match="groups="):
        chosen_groups(groups)


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (None, set()),
        ("staff", {"staff"}),
        (["a", "b"], {"a", "b"}),
        ('["a", "b"]', {"a", "b"}),
        ("[not a list", {"[not a list"}),
        (7, {"7"}),
        (True, {"true"}),
        ([], set()),
    ],
)
def test_what_groups_a_value_names(value: Any, groups: set[str]) -> None:
    assert named_groups(value) == groups


@given(st.frozensets(st.text()), st.frozensets(st.text()))
def test_groups_only_ever_become_fewer(have: frozenset[str], wanted: frozenset[str]) -> None:
    assert narrowed(have, wanted) == have & wanted
    assert narrowed(ALL_GROUPS, wanted) == wanted
    assert narrowed(have, ALL_GROUPS) == have
    assert narrowed(NO_GROUPS, wanted) == NO_GROUPS


def test_a_list_and_a_text_in_one_field_both_name_groups(tmp_path: Path) -> None:
    documents: list[dict[str, Any]] = [
        {"_id": "list", "text": "plums", "groups": ["a", "b"]},
        {"_id": "text", "text": "plums", "groups": "a"},
        {"_id": "other", "text": "plums", "Groups": "b"},
        {"_id": "number", "text": "plums", "groups": 7},
    ]
    config = built(tmp_path, documents, access_field="groups")
    for group, found in {"a": {"list", "text"}, "b": {"list", "other"}, "7": {"number"}}.items():
        with stub.open_index(config.index_path, groups=[group]) as index:
            assert {hit.doc_id for hit in index.search("plums", 9, "dense")} == found
