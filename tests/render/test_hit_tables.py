"""The table of hits fits where it is shown, and says what it left out."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from pipeline.cli.common import console
from pipeline.job import build as builder
from pipeline.query.searcher import Index, open_index
from pipeline.records import Hit, LegScore
from pipeline.render import hit_tables
from tests.support.collection import config_for, write_documents

LEGS, FIELDS = {"dense": 7, "lexical": 7, "reranker": 8}, {"title": 30, "lang": 4, "tags": 12}


@pytest.mark.parametrize(
    ("room", "legs", "fields"),
    [
        (200, ["dense", "lexical", "reranker"], {"title": 24, "lang": 4, "tags": 12}),
        (80, ["dense", "lexical", "reranker"], {"title": 8, "lang": 4, "tags": 8}),  # 20 + 31 + 29
        (82, ["dense", "lexical", "reranker"], {"title": 10, "lang": 4, "tags": 8}),
        (79, ["lexical", "reranker"], {"title": 17, "lang": 4, "tags": 8}),
        (60, ["reranker"], {"title": 8, "lang": 4, "tags": 8}),
        (59, [], {"title": 18, "lang": 4, "tags": 8}),
        (48, [], {"title": 18, "lang": 4}),
        (30, [], {}),
        (0, [], {}),
    ],
)
def test_what_finds_room_beside_the_passage(room: int, legs: list[str], fields: dict[str, int]) -> None:
    assert hit_tables.fitting(room, LEGS, FIELDS) == (legs, fields)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("hits")
    write_documents(folder / "documents")
    builder.build(config := config_for(folder))
    return open_index(config.index_path)


def _hit(rank: int) -> Hit:
    legs = {name: LegScore(0.5, rank, 0.5, 0.25, 0.125) for name in LEGS}
    fields = {"dense": "a field by a leg's name", "title": "되돌리기" * 9, "tags": ["ops", "night"]}
    return Hit(rank, 0.5, f"d{rank}#0", f"d{rank}", 0, 0, 9, "how to roll back a build", (), fields, "s", legs)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_passage_is_there_at_every_width(index: Index, width: int) -> None:
    screen = io.StringIO()
    shown = ["title", "tags", "dense", "nothing"]
    hit_tables.hits_table(Console(file=screen, width=width), "roll back", index, [_hit(1), _hit(10)], shown)
    text = screen.getvalue()
    assert "passage" in text
    assert "how to roll back" in text
    assert ("no room for dense, lexical, reranker" in text) == (width <= 80)
    assert ("nothing; widen the terminal, or use --json" in " ".join(text.split())) == (width <= 80)
    assert ("no room" in text) == (width <= 80)


def test_a_hit_names_its_pages_or_lines_if_its_document_has_any(index: Index) -> None:
    for fields, shown in (
        ({"page": 3, "last_page": 3}, "d1, p. 3"),
        ({"page": 3, "last_page": 5}, "d1, pp. 3–5"),
        ({"page": "3", "last_page": None}, "d1"),
        ({"line": 12, "last_line": 12}, "d1:12"),
        ({"line": 12, "last_line": 30}, "d1:12-30"),
    ):
        screen = io.StringIO()
        hit = dataclasses.replace(_hit(1), metadata=fields)
        hit_tables.hits_table(Console(file=screen, width=200), "roll back", index, [hit], [])
        assert [
            line.strip("│ ").split("│")[-1].strip() for line in screen.getvalue().splitlines() if "d1" in line
        ] == [shown]


def test_columns_decide_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, width in (("77", 77), ("", 120), ("0", 120), ("wide", 120)):
        monkeypatch.setenv("COLUMNS", wanted)
        assert console().width == width
