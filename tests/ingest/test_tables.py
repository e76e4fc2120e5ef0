"""Tables longer or wider than a chunk: rows stay whole, and every chunk of one is encoded with its header."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.ingest.cutting.tables import Tables
from pipeline.records import Chunk, Document
from tests.ingest.cutting import KINDS, PROSE, size, tokenizer


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["-"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def chunks(
    text: str,
    max_tokens: int,
    *,
    kind: str = "wordpiece",
    overlap: int = 0,
    context: str = "title+headings",
    headers: bool = True,
) -> list[Chunk]:
    chosen = ChunkingSettings(max_tokens=max_tokens, overlap_tokens=overlap, context=context, table_headers=headers)
    return list(Chunker(chosen, tokenizer(kind)).chunk(Document("d", text, {"title": "Prices"}, is_markdown=True)))


STOCK = [[f"widget {i}", f"{i}.50", "blue and green"] for i in range(12)]
HEADER = ["name", "price", "colour"]


def test_every_chunk_of_a_long_table_is_told_its_header() -> None:
    text = f"# Stock\n\n{PROSE}\n\n{table(HEADER, STOCK)}\n\n{PROSE}"
    found = chunks(text, 60)
    inside = [chunk for chunk in found if chunk.text.startswith("| widget")]
    assert len(inside) > 2
    assert {chunk.context for chunk in inside} == {"Prices\nStock\n| name | price | colour |"}
    outside = [chunk for chunk in found if not chunk.text.startswith("| widget")]
    assert all("|" not in chunk.context for chunk in outside)


def test_the_header_stays_with_the_first_row() -> None:
    row = "| widget 0 | 0.50 | blue and green |"
    for max_tokens in range(60, 90):
        for chunk in chunks(f"{PROSE}\n\n{table(HEADER, STOCK)}", max_tokens):
            assert ("| name |" in chunk.text) == (row in chunk.text)


def test_no_rows_are_repeated_as_overlap() -> None:
    text = f"{PROSE} {PROSE}\n\n{table(HEADER, STOCK)}\n\n{PROSE}"
    found = chunks(text, 60, overlap=20)
    for i in range(12):
        assert sum(f"| widget {i} |" in chunk.text for chunk in found) == 1


def test_without_it_tables_are_cut_between_lines_alone() -> None:
    found = chunks(table(HEADER, STOCK), 60, headers=False)
    assert {chunk.context for chunk in found} == {"Prices"}
    assert all(line.startswith("| ") for chunk in found for line in chunk.text.splitlines())


def test_it_is_part_of_the_fingerprint_and_its_absence_is_not() -> None:
    with_it, without = (
        dict(Chunker(ChunkingSettings(table_headers=on), tokenizer("wordpiece")).fingerprint.fields)
        for on in (True, False)
    )
    assert with_it.pop("table_headers")
    assert with_it == without


def test_wide_tables_are_cut_by_columns_with_the_key_kept() -> None:
    columns = [f"column number {i}" for i in range(12)]
    rows = [[f"widget {i}", *(f"{i}{j}" for j in range(12))] for i in range(3)]
    inside = [c for c in chunks(table(["name", *columns], rows), 60) if re.match(r"\| (widget|\d)", c.text)]
    assert len(inside) == 9
    seen: dict[str, list[str]] = {}
    for chunk in inside:
        _, header, *key = chunk.context.splitlines()
        cells = [cell.strip() for cell in chunk.text.strip("| ").split(" | ")]
        name = key[0].strip("| ") if key else cells.pop(0)
        first, *heads = header.strip("| ").split(" | ")
        assert first == "name"
        assert len(heads) == len(cells), "the header names the columns of this chunk alone"
        for head, cell in zip(heads, cells, strict=True):
            assert cell == name.removeprefix("widget ") + head.removeprefix("column number ")
        seen.setdefault(name, []).extend(heads)
    assert seen == {f"widget {i}": columns for i in range(3)}


def test_a_row_that_is_too_long_is_cut_at_cells_and_sentences_with_its_key() -> None:
    long = " ".join(f"This is sentence {i} of the cell." for i in range(8))
    text = table(
        ["name", "what it is", "n"], [["short", "words", "1"], ["long", long, "2"], ["last", "words", "3"]]
    )
    found = chunks(text, 48)
    start = next(i for i, chunk in enumerate(found) if chunk.text.startswith("| long"))
    end = next(i for i, chunk in enumerate(found) if chunk.text.startswith("| last"))
    assert end > start + 1
    for chunk in found[start + 1 : end]:
        assert chunk.context == "Prices\n| name | what it is | n |\n| long |"
        assert chunk.text.startswith("This is sentence")
    assert "short" not in found[start].text


@pytest.mark.parametrize(
    "text",
    [
        "name | price\n--- | ---\na \\| b | 1\nc | 2\nd | 3",
        "> | name | price |\n> |---|---|\n> | a \\| b | 1 |\n> | c | 2 |\n> | d | 3 |",
        "- item\n\n  | name | price |\n  |---|---|\n  | a \\| b | 1 |\n  | c | 2 |\n  | d | 3 |",
    ],
)
def test_tables_without_outer_pipes_and_in_quotes_and_lists(text: str) -> None:
    found = chunks(f"{text}\n{text.splitlines()[-1]}", 20, context="none")
    contexts = {chunk.context for chunk in found}
    assert contexts == {"", "| name | price |"}, [(c.context, c.text) for c in found]


def test_a_key_is_shortened_and_so_is_a_column_that_takes_too_much() -> None:
    endless = " ".join(["word"] * 200)
    text = table([endless, endless, "x"], [[endless, endless, "1"], ["a", "b", "2"]])
    for chunk in chunks(text, 40):
        assert size(chunk.encoded_text) <= 40
        assert size(chunk.context) <= 30


CELLS = st.sampled_from(
    ["", "1", "2.50", "a", "two words", "색인은 밤마다", "検索", "a\\|b", "Said. Done. " * 9, "x" * 70]
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50)
@given(data=st.data(), max_tokens=st.sampled_from([16, 40, 100]), overlap=st.sampled_from([0, 8]))
def test_rows_are_whole_offsets_are_true_and_nothing_is_lost(
    kind: str, data: st.DataObject, max_tokens: int, overlap: int
) -> None:
    columns = data.draw(st.integers(1, 12))
    header = [f"c{i}" if data.draw(st.booleans()) else f"a longer name {i}" for i in range(columns)]
    rows = data.draw(st.lists(st.lists(CELLS, min_size=columns, max_size=columns), min_size=1, max_size=12))
    rows = [[f"k{i}", *row[1:]] for i, row in enumerate(rows)]
    text = f"{PROSE}\n\n{table(header, rows)}\n\n{PROSE}\n"
    found = chunks(text, max_tokens, kind=kind, overlap=overlap)
    for chunk in found:
        assert chunk.text == text[chunk.start : chunk.end]
        assert size(chunk.encoded_text, kind) <= max_tokens
    covered = {i for chunk in found for i in range(chunk.start, chunk.end)}
    assert all(i in covered or text[i].isspace() for i in range(len(text)))

    written = f"| {' | '.join(header)} |"
    whole = size(f"Prices\n{written}\n\n", kind)
    if size(written, kind) + 8 > max_tokens // 2:
        return
    for cells in rows:
        line = f"| {' | '.join(cells)} |"
        place = text.index(f"\n{line}") + 1
        if whole + size(line, kind) + 8 <= max_tokens:
            holders = [c for c in found if c.start <= place and place + len(line.rstrip()) <= c.end]
            assert holders, f"{line} is cut"
        for chunk in found:
            if chunk.start == place:
                assert chunk.context.splitlines()[-1] == written


def test_cells_of_a_long_row_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    cells_of = Tables._cells_of

    def counted(tables: Tables, row: int) -> list[int]:
        nonlocal calls
        calls += 1
        return cells_of(tables, row)

    monkeypatch.setattr(Tables, "_cells_of", counted)
    text = table(["name", "cells"], [["a", " | ".join(["word"] * 20_000)]])
    assert len(chunks(text, 100)) > 200
    assert calls < 10
