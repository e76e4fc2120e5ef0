"""Good sources of every format: ids, text, title, metadata."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.formats import by_suffix as formats
from pipeline.ingest.formats import lines
from pipeline.ingest.formats.fields import typed_cell
from pipeline.ingest.sources import SourceFile
from tests.ingest.conftest import Read


def test_a_whole_file_is_named_by_its_path_and_knows_its_source(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/sub").mkdir()
    (tmp_path / "src/sub/노트.txt").write_bytes("첫 줄\r\n둘째 줄".encode("cp949"))
    (doc,), rejections = read(prefix="kb/")
    assert (doc.doc_id, doc.source, doc.text) == ("kb/sub/노트.txt", "src/sub/노트.txt", "첫 줄\n둘째 줄")
    assert (doc.is_markdown, dict(doc.metadata), rejections) == (False, {}, [])


def test_front_matter_is_metadata_and_no_part_of_the_text(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/page.md").write_text(
        "---\ntitle: Rolling back\nlang: en\ntags: [ops, index]\ndate: 2024-03-01\nat: 2024-03-01T10:00:00Z\n"
        "draft: no\nweight: 3\nauthor: {name: Kim, since: 2020}\n---\n# Rolling back\n\nText.\n"
    )
    (doc,), _ = read()
    assert doc.text == "# Rolling back\n\nText.\n"
    assert doc.is_markdown
    assert doc.metadata == {
        "title": "Rolling back",
        "lang": "en",
        "tags": ["ops", "index"],
        "date": "2024-03-01",
        "at": "2024-03-01T10:00:00+00:00",
        "draft": False,
        "weight": 3,
        "author": '{"name": "Kim", "since": 2020}',
    }


@pytest.mark.parametrize(
    "text",
    ["no front matter", "---\nnever closed: 1\ntext", "---\njust a line\n---\ntext", "text\n---\na: 1\n---\n"],
)
def test_a_thematic_break_is_no_front_matter(read: Read, tmp_path: Path, text: str) -> None:
    (tmp_path / "src/page.md").write_text(text)
    (doc,), _ = read()
    assert (doc.text, doc.metadata) == (text, {})


def test_jsonl_records(read: Read, tmp_path: Path) -> None:
    records = [
        {
            "_id": "a",
            "title": "T",
            "text": "body",
            "year": 2020,
            "tags": ["x", 1],
            "deep": {"b": [1]},
            "none": None,
        },
        {"id": 7, "content": "no title", "big": 10**30, "nan": float("nan")},
        {"text": "T\nsays more", "title": "T"},
        {"text": "", "title": "only a title"},
    ]
    (tmp_path / "src/r.jsonl").write_text("\n\n".join(map(json.dumps, records)) + "\n")
    docs, rejections = read(prefix="p-")
    assert rejections == []
    assert [doc.doc_id for doc in docs] == ["p-a", "p-7", "p-r.jsonl:5", "p-r.jsonl:7"]
    assert [doc.text for doc in docs] == ["T\n\nbody", "no title", "T\nsays more", "only a title"]
    assert docs[0].metadata == {"year": 2020, "tags": ["x", 1], "deep": '{"b": [1]}', "none": None, "title": "T"}
    assert docs[1].metadata == {"big": str(10**30), "nan": None}


def test_fields_named_in_the_settings_win(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/r.jsonl").write_text('{"key": "k", "id": "i", "q": "a question", "text": "t", "head": "H"}\n')
    (doc,), _ = read(id_field="key", text_field="q", title_field="head")
    assert (doc.doc_id, doc.text) == ("k", "H\n\na question")
    assert doc.metadata == {"id": "i", "text": "t", "title": "H"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_finds_its_delimiter_and_keeps_quoted_newlines(read: Read, tmp_path: Path, delimiter: str) -> None:
    rows = [["id", "text", "n"], ["007", '"two\nlines, ""quoted"""', "1.5"], ["x", "plain", ""]]
    data = "\r\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "src/t.csv").write_bytes(b"\xef\xbb\xbf" + data.encode())
    (first, second), _ = read()
    assert (first.doc_id, first.text, first.metadata) == ("007", 'two\nlines, "quoted"', {"n": 1.5})
    assert (second.doc_id, second.text, second.metadata) == ("x", "plain", {"n": None})


def test_rows_without_an_id_are_named_by_the_line_they_start_in(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/t.csv").write_text('text\n"one\ntwo"\n\nthree\n')
    docs, _ = read()
    assert [(doc.doc_id, doc.text) for doc in docs] == [("t.csv:2", "one\ntwo"), ("t.csv:5", "three")]


def test_tsv_has_no_quoting(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/t.tsv").write_text('id\ttext\n1\t"never closed\n2\tnext\n')
    docs, _ = read()
    assert [doc.text for doc in docs] == ['"never closed', "next"]


def test_csv_as_spreadsheets_save_it(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.csv").write_text("sep=|\nid|text||\n1|a;b,c;d|e||\n2|f||\n3|g\n4|h||i|j\n")
    docs, rejections = read()
    assert [(doc.doc_id, doc.text, doc.metadata) for doc in docs] == [
        ("1", "a;b,c;d", {"column 3": "e", "column 4": None}),
        ("2", "f", {"column 3": None, "column 4": None}),
    ]
    assert [one.reason for one in rejections] == [f"{n} fields where the header has 4" for n in (2, 5)]
    (tmp_path / "src/a.csv").write_text("sep=;\nid;text;;\n1;a;;\n2;b;c;;\n")
    (table,), _ = read(table=True)
    assert table.text == "| id | text |  |  |\n|-|-|-|-|\n| 1 | a |  |  |\n| 2 | b | c |  |"


def test_korean_csv_in_cp949(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/t.csv").write_bytes("id,text,분류\n1,검색 엔진을 만듭니다,기술\n".encode("cp949"))
    (doc,), _ = read()
    assert (doc.text, doc.metadata) == ("검색 엔진을 만듭니다", {"분류": "기술"})


@given(st.one_of(st.integers(), st.floats(), st.text(max_size=12), st.from_regex(r"[-+]?[0-9_.eE]{1,8}")))
def test_a_cell_becomes_a_number_only_if_nothing_is_lost(value: object) -> None:
    cell = str(value)
    typed = typed_cell(cell)
    assert typed is None if cell == "" else str(typed) == cell


@pytest.mark.parametrize(
    "cell", ["007", "+1", "1_000", "1e5", "1.50", "nan", "inf", "-inf", " 1", "9" * 30, "True"]
)
def test_a_cell_that_merely_looks_like_a_number_stays_a_string(cell: str) -> None:
    assert typed_cell(cell) == cell


def test_parquet_columns(read: Read, tmp_path: Path) -> None:
    table = pa.table(
        {
            "doc_id": pa.array([1, 2], pa.int64()),
            "text": pa.array(["one", "two"], pa.large_string()),
            "day": [date(2024, 1, 2), None],
            "at": [datetime(2024, 1, 2, 3, tzinfo=UTC)] * 2,
            "price": [Decimal("1.50"), Decimal("2.00")],
            "tags": [["a", "b"], []],
            "struct": [{"x": 1}, {"x": 2}],
            "image": [b"\xff", b"\x00"],
        }
    )
    pq.write_table(table, tmp_path / "src/t.parquet")
    (first, second), rejections = read()
    assert rejections == []
    assert (first.doc_id, first.text) == ("1", "one")
    assert first.metadata == {
        "day": "2024-01-02",
        "at": "2024-01-02T03:00:00+00:00",
        "price": "1.50",
        "tags": ["a", "b"],
        "struct": '{"x": 1}',
    }
    assert second.metadata["day"] is None


def test_a_line_of_100_mb_costs_no_memory_and_the_next_one_is_read(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = 0
    real = lines.BoundedLines.__next__

    class Spy:
        def __init__(self, stream: object) -> None:
            self.stream = stream

        def readline(self, limit: int) -> str:
            nonlocal longest
            text: str = self.stream.readline(limit)  # type: ignore[attr-defined]
            longest = max(longest, len(text))
            return text

    def spied(self: lines.BoundedLines) -> str:
        if not isinstance(self._stream, Spy):
            self._stream = Spy(self._stream)  # type: ignore[assignment]
        return real(self)

    monkeypatch.setattr(lines.BoundedLines, "__next__", spied)
    with (tmp_path / "src/big.jsonl").open("wb") as stream:
        stream.write(b'{"text": "')
        for _ in range(100):
            stream.write(b"x" * 1_000_000)
        stream.write(b'"}\n{"text": "next"}\n')
    (doc,), (rejection,) = read({"max_document_mb": 2})
    assert (doc.doc_id, doc.text) == ("big.jsonl:2", "next")
    assert rejection.source == "src/big.jsonl:1"
    assert "longer than 2 MB" in rejection.reason
    assert longest <= 2_000_001


def test_a_file_that_vanishes_and_a_disk_that_fails(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / "src" / name).write_text(name)

    def read_text(file: SourceFile, *rest: object) -> object:
        if file.name == "a.txt":
            file.path.unlink()
        if file.name == "b.txt":
            raise OSError(5, "Input/output error")
        return real(file, *rest)  # type: ignore[arg-type]

    real = formats.READERS[".txt"]
    monkeypatch.setitem(formats.READERS, ".txt", read_text)  # type: ignore[arg-type]
    docs, rejections = read()
    assert [doc.doc_id for doc in docs] == ["c.txt"]
    assert [(r.file, r.reason) for r in rejections] == [
        ("src/a.txt", "no such file: a dangling link, or it vanished while the collection was read"),
        ("src/b.txt", "input/output error"),
    ]


def test_without_the_extra_each_office_file_says_how_to_install_it(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "absent").mkdir()
    for library in ("mammoth", "pptx", "pypdfium2"):
        (tmp_path / f"absent/{library}.py").write_text("raise ImportError('as if it was not installed')\n")
    monkeypatch.syspath_prepend(tmp_path / "absent")
    for name in ("a.pdf", "b.docx", "c.PPTX"):
        (tmp_path / "src" / name).write_bytes(b"x")
    docs, rejections = read()
    assert docs == []
    assert [r.file for r in rejections] == ["src/a.pdf", "src/b.docx", "src/c.PPTX"]
    assert all("pip install 'hybrid-pipeline[docs]'" in r.reason for r in rejections)
