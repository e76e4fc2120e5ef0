"""Tables out of files: CSV as one table, sheets of workbooks; what they look like, and what breaks them."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.records import Document
from tests.ingest.conftest import Read, outcomes
from tests.ingest.cutting import tokenizer


def test_a_csv_file_as_one_table(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.csv").write_text('name;price;note\nrake;12,50;"a|b\nc"\n\nspade;007;\n')
    (tmp_path / "src/b.tsv").write_text('name\tprice\nsaid "so\t1\n')
    docs, rejections = read(table=True)
    assert rejections == []
    assert [doc.text for doc in docs] == [
        "| name | price | note |\n|-|-|-|\n| rake | 12,50 | a\\|b c |\n| spade | 007 |  |",
        '| name | price |\n|-|-|\n| said "so | 1 |',
    ]
    assert all(doc.is_markdown for doc in docs)


def test_every_chunk_of_it_has_its_header(read: Read, tmp_path: Path) -> None:
    rows = "".join(f"tool {i},{i}.50,a colour\n" for i in range(200))
    (tmp_path / "src/a.csv").write_text(f"name,price,colour\n{rows}")
    ((document,), _) = read(table=True)
    first, *others = Chunker(ChunkingSettings(max_tokens=80), tokenizer("wordpiece")).chunk(document)
    assert first.text.startswith("| name | price | colour |")
    assert {chunk.context for chunk in others} == {"| name | price | colour |"}


def test_without_a_column_of_texts_the_reason_names_the_setting(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.csv").write_text("name,price\nrake,1\n")
    assert "`table: true` reads the file as one table" in read()[1][0].reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty: no header"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: 3 fields where the header has 2"),
        (b'a,b\n1,2\n"3,4\n5,6\n', "line 3: broken CSV: a quote opens here"),
        (b"a,b\n1,\0" + b"x" * 99 + b"\n", "line 2: NUL byte"),
        (b"a,b\n" + b"x" * 2_000_000 + b",1\n", "line 2: line is longer"),
        (b"a,b\n" + b"xxxxxxxxx,1\n" * 120_000, "text is longer than 1 MB"),
    ],
)
def test_a_table_with_a_hole_is_rejected(read: Read, tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "src/a.csv").write_bytes(content)
    docs, rejections = read({"max_document_mb": 1}, table=True)
    assert docs == []
    assert [one.reason[: len(reason)] for one in rejections] == [reason]


def workbook(**sheets: list[list[Any]]) -> Any:
    book = pytest.importorskip("openpyxl").Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for i, row in enumerate(rows, 1):
            for j, value in enumerate(row, 1):
                if value is not None:
                    sheet.cell(i, j, value)
    return book


def saved(book: Any) -> bytes:
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def result(tmp_path: Path, data: bytes, **settings: float) -> Document | UnreadableError:
    (tmp_path / "a.xlsx").write_bytes(data)
    (outcome,) = outcomes(tmp_path / "a.xlsx", **settings)
    return outcome.result


def text(tmp_path: Path, data: bytes) -> str:
    found = result(tmp_path, data)
    assert isinstance(found, Document), found
    return found.text


def test_sheets_are_sections_and_blocks_of_rows_tables(tmp_path: Path) -> None:
    book = workbook(
        Stock=[
            ["Prices of tools"],
            ["name", "price", None, "note"],
            ["rake", 12.5, None, None],
            ["spade", 19, None, "a|b"],
            [],
            [None, "#1 of the notes"],
            [None, "second"],
        ],
        Nothing=[],
        Other=[["x", "y"], [1, 2]],
    )
    assert text(tmp_path, saved(book)) == (
        "## Stock\n\nPrices of tools\n\n"
        "| name | price | note |\n|-|-|-|\n| rake | 12.5 |  |\n| spade | 19 | a\\|b |\n\n"
        "#1 of the notes\n\nsecond\n\n## Other\n\n| x | y |\n|-|-|\n| 1 | 2 |"
    )


def test_cells_are_as_they_are_shown(tmp_path: Path) -> None:
    values = [date(2026, 1, 2), datetime(2026, 1, 2, 3, 4), time(5, 6), True, 1e20, 0.1 + 0.2, 3.0, "two\r\nlines"]
    book = workbook(S=[["h"] * (len(values) + 1), [*values, 0.125]])
    book.active.cell(2, len(values) + 1).number_format = "0.0%"
    row = text(tmp_path, saved(book)).splitlines()[-1]
    assert row == "| 2026-01-02 | 2026-01-02 03:04:00 | 05:06:00 | TRUE | 1e+20 | 0.3 | 3 | two lines | 12.5% |"


def test_durations_are_hours_and_long_numbers_keep_their_digits(tmp_path: Path) -> None:
    book = workbook(S=[["card", "took"], [1234567890123450, timedelta(days=1, hours=1, minutes=3, seconds=4)]])
    assert text(tmp_path, saved(book)).splitlines()[-1] == "| 1234567890123450 | 25:03:04 |"


def test_broken_and_endless_workbooks_are_named(tmp_path: Path) -> None:
    whole = saved(workbook(S=[["name", "price"], ["rake", 1]]))
    assert str(result(tmp_path, b"")) == "empty"
    assert str(result(tmp_path, whole[:200])).startswith("broken .xlsx file: ")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["xl/worksheets/sheet1.xml"] = files["xl/worksheets/sheet1.xml"][:-30]
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert str(result(tmp_path, sink.getvalue())).startswith("broken .xlsx file: ")
    wide = saved(workbook(S=[["a" * 30_000] * 2] * 40))
    assert "text is longer than 1 MB" in str(result(tmp_path, wide, max_document_mb=1))
