"""Queries in every form their users have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import QueryError
from pipeline.query.batch import Query, parse_queries, read_queries, trec_lines


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['{"_id": "a", "text": "x"}', "", '{"id": 7, "text": "y"}'], [Query("a", "x"), Query("7", "y")]),
        (["q1\tsome words", "q2\tmore\twords"], [Query("q1", "some words"), Query("q2", "more\twords")]),
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


def test_run_lines() -> None:
    assert list(trec_lines({"q": [("d1", 0.5), ("d2", 1 / 3)]}, "hybrid")) == [
        "q Q0 d1 1 0.5 hybrid",
        "q Q0 d2 2 0.333333333 hybrid",
    ]
