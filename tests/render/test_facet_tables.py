"""Facets on the screen say what they leave out, and command no terminal; in JSON they are whole."""

from __future__ import annotations

import io
import json

from rich.console import Console

from pipeline.records import Facet, FacetValue
from pipeline.render.facet_tables import facet_records, facet_tables

LANG = Facet("lang", (FacetValue("ko", 1200, 30), FacetValue("", 2, 1)), distinct=5, missing=1)


def shown(*facets: Facet) -> str:
    screen = io.StringIO()
    facet_tables(Console(file=screen, width=60), facets)
    return screen.getvalue()


def test_a_table_has_counts_and_what_is_left_out() -> None:
    text = shown(LANG)
    for part in ("lang", "value", "chunks", "documents", "1,200", "''", "2 of 5 values; more by --facet-limit"):
        assert part in text
    assert "1 chunk without" in text


def test_all_values_need_no_note() -> None:
    text = shown(Facet("open", (FacetValue(True, 1, 1), FacetValue(False, 1, 1)), 2, 0))
    assert "true" in text
    assert "false" in text
    assert "facet-limit" not in text
    assert "without" not in text


def test_values_command_neither_terminal_nor_markup() -> None:
    text = shown(Facet("[bold]x", (FacetValue("\x1b[2J[red]", 1, 1),), 1, 0))
    assert "\x1b" not in text
    assert "[bold]x" in text
    assert "[red]" in text


def test_records_are_those_of_json() -> None:
    assert json.loads(json.dumps(facet_records([LANG]))) == {
        "lang": {
            "values": [
                {"value": "ko", "chunks": 1200, "documents": 30},
                {"value": "", "chunks": 2, "documents": 1},
            ],
            "distinct": 5,
            "missing": 1,
        }
    }
