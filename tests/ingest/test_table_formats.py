"""Tables of CSV, XLSX, HTML and Markdown: in every chunk whole cells below their header and beside their key."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import ChunkingSettings, IngestSettings, SourceSettings
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.ingest.formats.by_suffix import read_file
from pipeline.ingest.sources import SourceFile
from pipeline.records import Chunk
from tests.ingest.cutting import size, tokenizer

FORMATS = ["csv", "xlsx", "html", "md"]
Table = list[list[str]]


def as_csv(rows: Table) -> bytes:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows(rows)
    return sink.getvalue().encode()


def as_xlsx(rows: Table) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def as_html(rows: Table) -> bytes:
    def cell(text: str) -> str:
        return f"<td>{html.escape(text).replace(chr(10), '<br>')}</td>"

    return ("<table>" + "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows) + "</table>").encode()


def as_md(rows: Table) -> bytes:
    def line(row: list[str]) -> str:
        return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |"

    return "\n".join([line(rows[0]), "|" + "-|" * len(rows[0]), *map(line, rows[1:])]).encode()


WRITERS = {"csv": as_csv, "xlsx": as_xlsx, "html": as_html, "md": as_md}


def chunks_of(folder: Path, kind: str, rows: Table, max_tokens: int) -> list[Chunk]:
    path = folder / f"t.{kind}"
    path.write_bytes(WRITERS[kind](rows))
    file = SourceFile(str(path), path.name, path.name, SourceSettings(path=str(path), table=True))
    (found,) = read_file(file, IngestSettings())
    chosen = ChunkingSettings(max_tokens=max_tokens, overlap_tokens=8)
    return list(Chunker(chosen, tokenizer("wordpiece")).chunk(found.build()))


def cells_of(line: str) -> list[str]:
    """The cells of a line or of the end of one, as they were before Markdown."""
    line = line.strip()
    inner = line[1:] if line.startswith("|") else line
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def said_of(chunk: Chunk, header: list[str]) -> list[dict[str, str]]:
    """What a chunk says of each row in it, by column; every chunk has a header to say it by.

    A header that is longer than a chunk is cut like prose: parts of it alone say nothing of a row.
    """
    if chunk.text.strip("|-\n ") in f"| {' | '.join(header)} |":
        return []
    told = [cells_of(line) for line in chunk.context.splitlines() if line.startswith("|")]
    lines = [line for line in chunk.text.splitlines() if line.strip() and not re.fullmatch(r"[|\-\s]+", line)]
    lines = [line for line in lines if not line.startswith("#")]
    if lines and cells_of(lines[0]) == header:
        assert not told
        told, lines = [header], lines[1:]
    assert told, f"no header over {chunk.text!r}"
    names, key = told[0], told[1] if len(told) > 1 else []
    rows = [
        dict(zip(names, (key if i == 0 else []) + cells_of(line), strict=False)) for i, line in enumerate(lines)
    ]
    return [row for row in rows if row]


WORDS = st.lists(st.sampled_from(["rake", "12.50", "a|b", "색인", "blue\ngreen", "No. 7"]), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), max_tokens=st.sampled_from([60, 100, 200]))
def test_every_cell_is_whole_in_a_chunk_with_its_key_and_its_column(
    tmp_path: Path, kind: str, data: st.DataObject, max_tokens: int
) -> None:
    columns = data.draw(st.integers(2, 14))
    count = data.draw(st.integers(2, 6))
    header = ["key", *(f"column {j}" for j in range(1, columns))]
    body = [[f"k{i}", *(f"v{i} {j} {' '.join(data.draw(WORDS))}" for j in range(1, columns))] for i in range(count)]
    found = chunks_of(tmp_path, kind, [header, *body], max_tokens)
    said = [row for chunk in found for row in said_of(chunk, header)]
    for cells in body:
        mine = [row for row in said if row.get("key") == cells[0]]
        for name, cell in zip(header[1:], cells[1:], strict=True):
            values = [row[name] for row in mine if name in row]
            assert " ".join(cell.split()) in values, f"{name} of {cells[0]} is cut: {values}"
    written = f"| {' | '.join(header)} |"
    if size(written) > max_tokens // 4:
        return
    for cells in body:
        line = "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
        if size(f"{written}\n\n{line}") + 16 <= max_tokens:
            assert any(line in chunk.text for chunk in found), f"{line} is cut though it fits"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_cell_longer_than_a_chunk_is_cut_at_sentences_below_its_header_and_key(tmp_path: Path, kind: str) -> None:
    long = " ".join(f"This is sentence {i} of a cell that is too long." for i in range(12))
    found = chunks_of(tmp_path, kind, [["key", "what", "n"], ["one", "short", "1"], ["two", long, "2"]], 60)
    parts = [chunk for chunk in found if "sentence" in chunk.text]
    assert len(parts) > 2
    for chunk in parts:
        said = said_of(chunk, ["key", "what", "n"])
        assert said[-1]["key"] == "two"
    assert all(chunk.text.startswith("This is sentence") for chunk in parts[1:])
    assert " ".join(long.split()) in " ".join(chunk.text for chunk in parts)


def test_merged_cells_of_a_workbook_stand_in_every_row_that_they_reach_over(tmp_path: Path) -> None:
    openpyxl: Any = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (
        ["Prices", None, None],
        ["kind", "name", "n"],
        ["tools", "rake", 1],
        [None, "spade", 2],
        ["seeds", "oats", 3],
    ):
        sheet.append(row)
    sheet.merge_cells("A1:C1")
    sheet.merge_cells("A3:A4")
    sheet.merge_cells("A5:A9")  # rows that hold nothing else stay away
    sink = io.BytesIO()
    book.save(sink)
    (tmp_path / "a.xlsx").write_bytes(sink.getvalue())
    file = SourceFile(str(tmp_path / "a.xlsx"), "a.xlsx", "a.xlsx", SourceSettings(path=str(tmp_path)))
    (found,) = read_file(file, IngestSettings())
    assert found.build().text == (
        "## Sheet\n\nPrices\n\n| kind | name | n |\n|-|-|-|\n"
        "| tools | rake | 1 |\n| tools | spade | 2 |\n| seeds | oats | 3 |"
    )
