"""The log of queries: a line a query, whoever asks, however many at once, and never a search that fails for it."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QueryError
from pipeline.job.report.queries import section
from pipeline.job.report.record import load
from pipeline.query.log import writer
from pipeline.query.log.reader import LogLines, logged_judgements, logged_queries, summary
from pipeline.query.log.writer import KEPT, NAME, log_folder, rotated, text_hash
from pipeline.query.searcher import Index
from tests.faults import stub
from tests.support.command_line import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stub.write_texts(tmp_path, 0)
    stub.build(stub.stub_config(tmp_path))
    return tmp_path


def opened(folder: Path, **settings: Any) -> Index:
    return stub.open_index(folder / "index", settings={"log": True, **settings})


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (log_folder(folder / "index") / NAME).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_nothing_is_logged_unless_it_is_asked_for(folder: Path) -> None:
    with stub.open_index(folder / "index") as index:
        index.search("plums")
    assert not log_folder(folder / "index").exists()


def test_a_line_says_what_was_asked_and_found(folder: Path) -> None:
    with opened(folder) as index:
        hits = index.search("plums", 3, where="ordinal = 0")
        index.search_many(["사과", "apples"], 2, "lexical")
        index.rank(["not an answer"])
    one, two, three = lines(folder)
    assert (one["query"], one["k"], one["mode"], one["generation"], one["hits"]) == ("plums", 3, "hybrid", 1, 3)
    assert one["documents"] == [hit.doc_id for hit in hits]
    assert one["filter"] == "ordinal = 0"
    assert one["ms"] > 0
    assert [(two["query"], two["hits"]), three["query"]] == [("사과", 0), "apples"]
    assert three["mode"] == "lexical"
    assert (log_folder(folder / "index") / NAME).stat().st_mode & 0o077 == 0


def test_the_command_line_logs_as_the_library_does(folder: Path) -> None:
    (folder / "config.yaml").write_text("index: index\nsources: [{path: documents}]\nquery: {log: true}\n")
    assert run(folder, "query", "plums", options=stub.options()).exit_code == 0
    assert [one["query"] for one in lines(folder)] == ["plums"]


def test_no_text_if_none_is_wanted(folder: Path) -> None:
    with opened(folder, log_text=False) as index:
        index.search("a secret", where="ordinal = 0")
    (line,) = lines(folder)
    assert line["hash"] == text_hash("a secret")
    assert not {"query", "filter"} & set(line)
    with pytest.raises(QueryError, match=r"query\.log_text"):
        logged_queries(log_folder(folder / "index"))


def _ask(path: Path, texts: list[str]) -> None:
    with opened(path) as index:
        for text in texts:
            index.search(text, 1, "lexical")


def test_threads_and_processes_take_turns(folder: Path) -> None:
    fork = multiprocessing.get_context("spawn")
    children = [fork.Process(target=_ask, args=(folder, [f"{n} apples {i}" for i in range(10)])) for n in range(2)]
    for child in children:
        child.start()
    with opened(folder) as index, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: index.search(f"plums {i}", 1, "lexical"), range(40)))
    for child in children:
        child.join()
    asked = sorted(one["query"] for one in lines(folder))
    assert asked == sorted(
        [f"plums {i}" for i in range(40)] + [f"{n} apples {i}" for n in range(2) for i in range(10)]
    )


def test_full_files_are_kept_until_there_are_too_many(folder: Path) -> None:
    with opened(folder, log_megabytes=0.0001) as index:
        for i in range(20):
            index.search(f"plums {i}", 1)
    place = log_folder(folder / "index")
    assert len(rotated(place)) == KEPT
    assert [one.text for one in LogLines(place)] == [f"plums {i}" for i in range(15, 20)]


def test_a_full_disk_is_one_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder) as index:
        index.search("before", 1)
        real = os.write
        with caplog.at_level(logging.WARNING):
            monkeypatch.setattr(writer.os, "write", _failing_after(real, 20))
            assert index.search("plums", 1)
            assert index.search("plums", 1)
        monkeypatch.setattr(writer.os, "write", real)
        index.search("after", 1)
    assert [one["query"] for one in lines(folder)] == ["before", "after"]
    assert caplog.text.count("queries are not logged: No space left") == 1


def _failing_after(real: Any, count: int) -> Any:
    def write(handle: int, data: bytes) -> int:
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        written: int = real(handle, data[:count])
        return written

    return write


def test_torn_lines_are_left_out_and_the_next_one_is_whole(folder: Path) -> None:
    with opened(folder) as index:
        index.search("plums", 1)
        path = log_folder(folder / "index") / NAME
        with path.open("ab") as file:
            file.write(b'{"at": "2026", "query": "hal')
        index.search("apples", 1)
    found = LogLines(path)
    assert [one.text for one in found] == ["plums", "apples"]
    assert found.torn == 1


@given(st.binary(max_size=200))
def test_whatever_stands_there_is_read(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / NAME
        path.write_bytes(data + b'\n{"query": "plums", "ms": 1, "hits": 0}\n')
        found = LogLines(Path(name))
        assert [one.text for one in found][-1] == "plums"
        assert found.torn <= data.count(b"\n") + 1


def test_clicks_and_ratings_are_judgements(tmp_path: Path) -> None:
    path = tmp_path / "clicked.jsonl"
    records: list[dict[str, Any]] = [
        {"query": "plums", "clicks": ["a", "b"]},
        {"query": "plums", "ratings": {"a": 2, "c": 0}},
        {"query": "pears", "clicks": []},
        {"hash": "0" * 32, "clicks": ["a"]},
    ]
    path.write_text("".join(f"{json.dumps(one)}\n" for one in records))
    queries, qrels = logged_judgements(path)
    assert [one.text for one in queries] == ["plums"]
    assert qrels == {queries[0].query_id: {"a": 2, "b": 1, "c": 0}}
    path.write_text('{"query": "pears"}\n')
    with pytest.raises(QueryError, match="clicks"):
        logged_judgements(path)


@pytest.mark.parametrize(
    "line",
    [
        '{"query": "figs", "ratings": {"a": Infinity}}',
        '{"query": "figs", "ratings": {"a": 2.7}}',
        '{"query": "figs", "ratings": {"a": true}}',
        '{"query": "figs", "ratings": {"a": 99999999999}}',
        '{"query": "figs", "ratings": {"a": "high"}}',
        '{"query": "figs", "clicks": 7}',
        '{"query": "figs", "hits": 1e999, "clicks": ["a"]}',
        '{"query": "figs", "ms": NaN, "clicks": ["a"]}',
        '{"query": " ", "clicks": ["a"]}',
        "[" * 100_000,
    ],
)
def test_what_makes_no_sense_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    path = tmp_path / NAME
    path.write_text(f'{line}\n{{"query": "plums", "clicks": ["a"], "ratings": {{"b": "2", "c": 1.0}}}}\n')
    queries, qrels = logged_judgements(path)
    assert qrels == {text_hash("plums"): {"a": 1, "b": 2, "c": 1}}
    assert "1 line left out" in caplog.text
    caplog.clear()
    assert logged_queries(path) == queries
    assert "1 line left out" in caplog.text
    assert summary(tmp_path).torn == 1


def test_a_log_that_is_not_ours_to_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder) as index:
        index.search("plums", 1)
    real = Path.open

    def refused(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == NAME:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(QueryError, match="cannot be read: Permission denied"):
        logged_queries(log_folder(folder / "index"))
    stub.write_texts(folder, 1)
    assert stub.build(stub.stub_config(folder, query={"log": True})).published
    assert "cannot be read: Permission denied" in caplog.text


def test_a_report_tells_the_slowest_and_those_without_hits(folder: Path) -> None:
    with opened(folder) as index:
        for text in ("plums", "plums", "nowhere", "nowhere"):
            index.search(text, 1, "lexical")
    found = summary(log_folder(folder / "index"))
    assert (found.asked, found.distinct, found.torn, found.without_hits) == (4, 2, 0, (("nowhere", 2),))
    assert {text for text, _ in found.slowest} == {"plums", "nowhere"}
    stub.write_texts(folder, 1)
    stub.build(stub.stub_config(folder, query={"log": True}))
    assert load(folder / "index").queries == found
    assert "found nothing" in section(found)
    (folder / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    shown = run(folder, "report", options=stub.options()).stdout
    assert "asked: 4 queries, 2 different" in shown
    assert "found nothing" in shown
    assert "nowhere" in shown


def test_the_frequent_queries_come_first(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"query": "{text}"}}\n' for text in ("one", "two", "two", "three")))
    assert [one.text for one in logged_queries(path, 2)] == ["two", "one"]
    with pytest.raises(QueryError, match="no queries are logged"):
        LogLines(tmp_path / "nowhere")
