"""Where hits come from: what the arguments mean, and what a refresh does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError, QueryError
from pipeline.integrations.parameters import SearchParameters
from pipeline.integrations.service import ServiceSource
from pipeline.integrations.source import IndexSource, Source, index_source, open_source, search_async
from pipeline.job import build as builder
from pipeline.query.access import ALL_GROUPS, WantedGroups
from pipeline.query.searcher import Index, open_index
from tests.support.collection import config_for, write_documents


def test_an_index_its_folder_or_a_service(index: Index) -> None:
    for given in (index, index.path, str(index.path)):
        assert isinstance(open_source(given), IndexSource)
    assert isinstance(open_source(None, "http://127.0.0.1:8000"), ServiceSource)
    assert isinstance(open_source("main", "http://127.0.0.1:8000"), ServiceSource)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"index": None}, "give index=.* or url="),
        ({"index": 3}, "index=3: give an open index"),
        ({"index": "x", "api_key": "k"}, "give its url="),
        ({"index": "x", "headers": {}}, "give its url="),
        ({"index": None, "url": "http://127.0.0.1:8000", "groups": ["staff"]}, "the groups of its api_key="),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_source(**arguments)


def test_an_open_index_is_no_name(index: Index) -> None:
    with pytest.raises(ConfigError, match="the name of one of the service's indexes"):
        open_source(index, "http://127.0.0.1:8000")


async def test_a_search_beside_the_event_loop(index: Index) -> None:
    expected = index.search("rollback", 2)
    assert await search_async(IndexSource(index), "rollback", SearchParameters(k=2)) == expected


def test_a_refresh_moves_on_and_leaves_the_callers_index_open(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents", {"one.md": "first words"})
    config = config_for(tmp_path)
    builder.build(config)
    with open_index(config.index_path) as index:
        source = IndexSource(index)
        source.refresh()
        write_documents(tmp_path / "documents", {"two.md": "second words"})
        builder.build(config)
        assert len(source.search("words", SearchParameters())) == 1
        source.refresh()
        assert len(source.search("words", SearchParameters())) == 2
        assert len(index.search("words")) == 1


def test_an_index_without_vectors_embeds_nothing(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents", {"one.md": "first words"})
    config = config_for(tmp_path, encoder={"model": "none"})
    builder.build(config)
    source = index_source(config.index_path)
    with pytest.raises(QueryError, match="no dense leg"):
        source.embed_query("words")
    with pytest.raises(QueryError, match="no dense leg"):
        source.embed_documents(["words"])


def test_readers_find_what_their_groups_see_and_a_call_only_narrows(tmp_path: Path) -> None:
    groups = {"a": '["staff", "all"]', "b": '["hr", "board"]', "c": '"board"'}
    lines = [f'{{"_id": "{name}", "text": "words", "groups": {listed}}}\n' for name, listed in groups.items()]
    write_documents(tmp_path / "documents", {"all.jsonl": "".join(lines)})
    config = config_for(tmp_path, encoder={"model": "none"}, access_field="groups")
    builder.build(config)

    def found(source: Source, groups: WantedGroups = None) -> str:
        hits = source.search("words", SearchParameters(groups=groups))
        return "".join(sorted(hit.doc_id for hit in hits))

    with open_index(config.index_path, groups=ALL_GROUPS) as index:
        for given in (config.index_path, index):
            staff, everything = open_source(given, groups=["staff", "hr"]), open_source(given, groups=ALL_GROUPS)
            assert found(staff) == "ab"
            assert found(staff, ["hr", "board"]) == found(everything, ["hr"]) == "b"
            assert found(staff, ["board"]) == found(open_source(config.index_path)) == ""
            assert found(everything) == "abc"
