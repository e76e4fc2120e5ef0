"""Queries in every form their users have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import QueryError
from pipeline.query.files.batch import Query, as_run_id, from_run_id, parse_queries, read_queries, trec_lines


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['{"_id": "a", "text": "x"}', "", '{"id": 7, "text": "y"}'], [Query("a", "x"), Query("7", "y")]),
        (["q1\tsome words", "q2\tmore\twords"], [Query("q1", "some words"), Query("q2", "more\twords")]),
        (["query-id\ttext", "q1\tx"], [Query("q1", "x")]),
        (["", "query-id\tquery", "q1\tx"], [Query("q1", "x")]),
        (["q1\tx", "query-id\ttext"], [Query("q1", "x"), Query("query-id", "text")]),
        (['{"_id": "a\u2028b", "text": "c\u2029d\x85e"}'], [Query("a\u2028b", "c\u2029d\x85e")]),
        (["some words", "  ", "more words"], [Query("1", "some words"), Query("3", "more words")]),
    ],
)
def test_forms(lines: list[str], expected: list[Query]) -> None:
    assert parse_queries(lines, "f") == expected


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "f: no queries"),
        (["", " "], "f: no queries"),
        (['{"_id": "a"}'], "f:1: expected a JSON object"),
        (["{"], "f:1: expected a JSON object"),
        (['{"_id": "a", "text": "x"}', '{"_id": "b", "text": null}'], "f:2: `text` is null, expected a string"),
        (['{"_id": "a", "text": ["x"]}'], r'f:1: `text` is \["x"\], expected a string'),
        (['{"_id": null, "text": "x"}'], "f:1: `_id` is null, expected a string or a number"),
        (['{"_id": true, "text": "x"}'], "f:1: `_id` is true, expected a string or a number"),
        (["query-id\ttext"], "f: no queries"),
        (["a\tx", "a\ty"], "f:2: query id 'a' stands twice"),
        (["a\t "], "f:1: query 'a' is empty"),
    ],
)
def test_mistakes_name_the_line(lines: list[str], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        parse_queries(lines, "f")


def test_byte_order_mark_and_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "q").write_bytes(b"\xef\xbb\xbf" + "질문".encode())
    assert read_queries(tmp_path / "q") == [Query("1", "질문")]
    (tmp_path / "q").write_bytes("질문".encode("cp949"))
    with pytest.raises(QueryError, match="not UTF-8"):
        read_queries(tmp_path / "q")


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    # U+2028 and others stand in JSON as they are; splitting there breaks a valid line.
    text = '{"_id": "a", "text": "x\u2028y\x85z"}\r\n{"_id": "b", "text": "w"}\n'
    (tmp_path / "q").write_bytes(text.encode())
    assert read_queries(tmp_path / "q") == [Query("a", "x\u2028y\x85z"), Query("b", "w")]


def test_run_lines() -> None:
    assert list(trec_lines({"q": [("d1", 0.5), ("d2", 1 / 3)]}, "hybrid")) == [
        "q Q0 d1 1 0.5 hybrid",
        "q Q0 d2 2 0.333333333 hybrid",
    ]


@pytest.mark.parametrize("doc_id", ["a b.md", "a\nb", " a ", "100%", "a%20b", "%2520", "a\u2028b", "x%41", "한 글"])
def test_any_document_id_is_one_column_of_a_run_and_reads_back(doc_id: str) -> None:
    column = as_run_id(doc_id)
    assert column.split() == [column]
    assert from_run_id(column) == doc_id


def test_a_query_id_with_white_space_is_refused() -> None:
    with pytest.raises(QueryError, match="'q 1' has white space"):
        list(trec_lines({"q 1": [("d", 1.0)]}, "tag"))
