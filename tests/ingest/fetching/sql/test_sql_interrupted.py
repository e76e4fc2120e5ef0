"""A database that takes its time is no reason to go on: signals cancel what it does, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeline.config import Config, parse_config
from pipeline.errors import SourceError
from pipeline.ingest.fetching.sql import aside
from pipeline.ingest.fetching.sql.aside import Aside
from pipeline.ingest.fetching.sql.databases import connected
from pipeline.job import build as builder
from tests.support.postgres import server

PATIENCE = 60.0
ENDLESS = {
    "sqlite:///shop.db": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "duckdb:///shop.duckdb": (
        "SELECT count(*) FROM range(1000000000000) AS a, range(1000) AS b WHERE a.range % 7 = b.range % 5"
    ),
}


def interrupting(then: Callable[[], object]) -> Callable[[], object]:
    """What interrupts the main thread, and goes on in its own."""

    def function() -> object:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return then()

    return function


def test_what_is_called_gives_its_answer_or_its_error() -> None:
    with Aside() as beside:
        assert beside.call(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            beside.call(lambda: 1 / 0)
        assert beside.call(threading.current_thread) is not threading.current_thread()
        thread = beside.call(threading.current_thread)
    assert not thread.is_alive()


def test_an_interruption_cancels_and_then_closes() -> None:
    cancelled, closed = threading.Event(), threading.Event()
    with contextlib.ExitStack() as stack:
        beside = stack.enter_context(Aside())
        stack.callback(beside.tidy, closed.set)
        with pytest.raises(KeyboardInterrupt):
            beside.call(interrupting(lambda: cancelled.wait(PATIENCE)), cancelled.set)
        assert cancelled.is_set()
    assert closed.is_set()


def test_a_call_that_cannot_be_cancelled_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "_LEAVE_SECONDS", 0.1)
    released, closed = threading.Event(), threading.Event()
    for cancel in (None, lambda: None, lambda: released.wait(PATIENCE)):
        with Aside() as beside:
            with pytest.raises(KeyboardInterrupt):
                beside.call(interrupting(lambda: released.wait(PATIENCE)), cancel)
            beside.tidy(closed.set)  # the call may still use what would be closed
    released.set()
    assert not closed.is_set()


@pytest.mark.parametrize("url", ENDLESS)
def test_databases_in_files_are_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    import duckdb

    sqlite3.connect(tmp_path / "shop.db").close()
    duckdb.connect(str(tmp_path / "shop.duckdb")).close()
    original = Aside.call

    def call(self: Aside, function: partial[object], cancel: Callable[[], object] | None = None) -> object:
        if isinstance(function, partial) and ENDLESS[url] in function.args:
            return original(self, interrupting(function), cancel)
        return original(self, function, cancel)

    monkeypatch.setattr(Aside, "call", call)
    with pytest.raises(KeyboardInterrupt), connected(url, tmp_path, SourceError) as database:
        list(database.rows(ENDLESS[url]))
    assert "database" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    pytest.importorskip("adbc_driver_postgresql")
    with server() as url:
        yield url


def asked(url: str, statement: str) -> object:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


SLOW = "SELECT id, body, pg_sleep((SELECT seconds FROM pause))::text AS nothing FROM pages"


def config_of(folder: Path, sql: str) -> Config:
    source = f"{{sql: {sql!r}, dsn_env: SHOP_DSN, text_field: body}}".replace("\\'", "''")
    text = f"index: index\nencoder: {{model: none}}\nsources: [{source}]\n"
    (folder / "config.yaml").write_text(text)
    return parse_config(
        {
            "index": "index",
            "encoder": {"model": "none"},
            "sources": [{"sql": sql, "dsn_env": "SHOP_DSN", "text_field": "body"}],
        },
        base=folder,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_long_query_and_leaves_what_was_fetched(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("SHOP_DSN", postgres)
    for statement in (
        "DROP TABLE IF EXISTS pages, pause",
        "CREATE TABLE pages AS SELECT n AS id, 'pears ' || n AS body FROM generate_series(1, 3) AS n",
        "CREATE TABLE pause AS SELECT 0 AS seconds",
    ):
        asked(postgres, statement)
    config = config_of(tmp_path, SLOW)
    assert builder.build(config).added == 3
    (spool,) = config.index_path.glob("fetched/*/records.jsonl")
    before = spool.read_bytes()
    asked(postgres, "UPDATE pause SET seconds = 600")
    running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    build = subprocess.Popen([sys.executable, "-m", "pipeline", "build"], cwd=tmp_path, env=environment)
    with contextlib.ExitStack() as stack:
        stack.callback(build.kill)
        deadline = time.monotonic() + 2 * PATIENCE
        while not asked(postgres, running):
            assert build.poll() is None
            assert time.monotonic() < deadline
        build.send_signal(number)
        assert build.wait(PATIENCE) == 128 + number
    while asked(postgres, running):  # the server has been told, and need not find out
        assert time.monotonic() < deadline
    assert [path.name for path in spool.parent.iterdir()] == ["records.jsonl"]
    assert spool.read_bytes() == before
    asked(postgres, "UPDATE pause SET seconds = 0")
    assert not builder.build(config).published


def test_a_query_that_fails_behind_its_first_rows_ends_the_build_in_the_servers_words(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DSN", postgres)
    sql = "SELECT n AS id, 'x' AS body, 1 / (300000 - n) AS share FROM generate_series(1, 400000) AS n"
    with pytest.raises(SourceError, match=r"sql.*division by zero.*nothing of it was taken"):
        builder.build(config_of(tmp_path, sql))
