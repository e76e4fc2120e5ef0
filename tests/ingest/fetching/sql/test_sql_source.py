"""Rows of real databases are indexed as records; only rows that changed are asked for where a column tells."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, parse_config
from pipeline.errors import PipelineError, SourceError
from pipeline.index import store
from pipeline.ingest.fetching.sql.databases import Database, connected
from pipeline.job import build as builder
from pipeline.records import Document
from tests.support.postgres import PASSWORD, QUOTED, server

QUERY = "SELECT id, body, title, updated, n FROM pages ORDER BY id"


def config_of(folder: Path, sql: str = QUERY, **source: Any) -> Config:
    raw = {
        "index": "index",
        "sources": [{"sql": sql, "dsn_env": "SHOP_DSN", "text_field": "body", **source}],
        "encoder": {"model": "none"},
        "max_delete_ratio": 1.0,
    }
    return parse_config(raw, base=folder)


def live(config: Config) -> dict[str, str]:
    documents = store.live_documents(config.index_path, store.live_manifest(config.index_path))
    return {doc_id: document.content_hash for doc_id, document in documents.items()}


def records(config: Config) -> list[dict[str, Any]]:
    (path,) = config.index_path.glob("fetched/*/records.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class Shop:
    """A table of pages in a SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.open() as database:
            database.execute("CREATE TABLE pages (id TEXT, body TEXT, title TEXT, updated TEXT, n)")

    def open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path)

    def set(self, number: int, updated: str, body: str = "pears") -> None:
        with self.open() as database:
            database.execute("DELETE FROM pages WHERE id = ?", (f"p'{number}",))
            row = (f"p'{number}", f"{body} {number}", f"Page {number}", updated, number)
            database.execute("INSERT INTO pages VALUES (?, ?, ?, ?, ?)", row)

    def remove(self, number: int) -> None:
        with self.open() as database:
            database.execute("DELETE FROM pages WHERE id = ?", (f"p'{number}",))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("SHOP_DSN", "sqlite:///shop.db")
    shop = Shop(tmp_path / "shop.db")
    for number in range(20):
        shop.set(number, "2024-01-01")
    return shop


@pytest.fixture
def fetched(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """How many rows were fetched and taken over since it was asked last."""
    caplog.set_level(logging.INFO, "pipeline.ingest.fetching.sql.query")

    def counts() -> list[int]:
        said = [re.findall(r"(\d+) (?:rows|taken)", record.getMessage()) for record in caplog.records]
        caplog.clear()
        (found,) = [numbers for numbers in said if numbers]
        return [int(number) for number in found]

    return counts


def test_rows_are_documents_and_nights_change_what_changed(tmp_path: Path, shop: Shop) -> None:
    config = config_of(tmp_path)
    assert builder.build(config).added == 20
    document = Document("p'3", "Page 3\n\npears 3", {"updated": "2024-01-01", "n": 3, "title": "Page 3"})
    assert live(config)["p'3"] == document.content_hash
    assert not builder.build(config).published
    shop.set(3, "2024-01-01", "plums")
    shop.remove(4)
    report = builder.build(config)
    assert (report.changed, report.deleted, report.unchanged) == (1, 1, 18)


def test_a_column_may_hold_values_of_several_types(tmp_path: Path, shop: Shop) -> None:
    with shop.open() as database:
        database.execute("UPDATE pages SET n = 'many' WHERE id = 'p''19'")
        database.execute("UPDATE pages SET n = 1.5 WHERE id = 'p''18'")
        database.execute("UPDATE pages SET n = NULL WHERE id = 'p''17'")
        database.execute("UPDATE pages SET n = x'00ff' WHERE id = 'p''16'")
    config = config_of(tmp_path)
    assert builder.build(config).added == 20
    found = {record["id"]: record.get("n", "left out") for record in records(config)}
    assert [found[f"p'{i}"] for i in (19, 18, 17, 16, 15)] == ["many", 1.5, None, "left out", 15]


def test_only_changed_rows_are_fetched(tmp_path: Path, shop: Shop, fetched: Any) -> None:
    config, whole = (
        config_of(tmp_path, updated_field="updated"),
        config_of(tmp_path).model_copy(update={"index": "whole"}),
    )
    builder.build(config)
    assert fetched() == [20]
    assert not builder.build(config).published
    assert fetched() == [0, 20]
    for number in (3, 7, 30):
        shop.set(number, "2024-02-02", "plums")
    shop.remove(4)
    report = builder.build(config)
    assert fetched() == [3, 17]
    assert (report.added, report.changed, report.deleted) == (1, 2, 1)
    builder.build(whole)
    assert live(config) == live(whole)


def test_a_plan_takes_over_what_the_index_has_and_leaves_it_alone(tmp_path: Path, shop: Shop, fetched: Any) -> None:
    config = config_of(tmp_path, updated_field="updated")
    builder.build(config)
    fetched()
    (before,) = ((path, path.stat()) for path in config.index_path.glob("fetched/*/records.jsonl"))
    shop.set(3, "2024-02-02", "plums")
    assert builder.plan(config).changes.changed == 1
    assert fetched() == [1, 19]
    assert before[0].stat() == before[1]


def test_what_the_column_does_not_tell_is_not_seen(tmp_path: Path, shop: Shop, fetched: Any) -> None:
    config = config_of(tmp_path, updated_field="updated")
    builder.build(config)
    shop.set(3, "2024-01-01", "plums")
    assert not builder.build(config).published


def test_many_changes_are_one_query(tmp_path: Path, shop: Shop, fetched: Any) -> None:
    config = config_of(tmp_path, updated_field="updated")
    builder.build(config)
    fetched()
    for number in range(11):
        shop.set(number, "2024-02-02", "plums")
    assert builder.build(config).changed == 11
    assert fetched() == [20]


@pytest.mark.parametrize("how", ["edited", "cut", "removed", "another database", "no id twice", "no value"])
def test_a_spool_is_not_believed_where_it_is_not_as_it_was_left(
    tmp_path: Path, shop: Shop, fetched: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    config = config_of(tmp_path, updated_field="updated")
    builder.build(config)
    fetched()
    expected = live(config)
    (path,) = config.index_path.glob("fetched/*/records.jsonl")
    data = path.read_bytes()
    if how == "edited":
        path.write_bytes(data.replace(b"pears 3", b"plums 3"))
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "removed":
        path.unlink()
    elif how == "another database":
        shop.path.rename(tmp_path / "other.db")
        monkeypatch.setenv("SHOP_DSN", "sqlite:///other.db")
    elif how == "no id twice":
        with shop.open() as database:
            database.execute("INSERT INTO pages SELECT * FROM pages WHERE id = 'p''1'")
    else:
        with shop.open() as database:
            database.execute("UPDATE pages SET updated = NULL")
        expected = {}
    builder.build(config)
    assert fetched() == [21 if how == "no id twice" else 20]
    if expected:
        assert live(config) == expected


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sql": "SELECT gone FROM pages"}, r"sql: SHOP_DSN: no such column: gone; nothing of it was taken"),
        ({"sql": "SELECT id, id, body FROM pages"}, r"two columns `id`; name one of them otherwise"),
        ({"sql": "SELECT id FROM pages"}, r"the query has no field `body`, which `text_field` names; it has id"),
        ({"updated_field": "changed"}, r"no column `changed`, which `updated_field` names"),
        ({"sql": "SELECT body, updated FROM pages", "updated_field": "updated"}, r"needs a column with the id"),
        ({"sql": "DELETE FROM pages"}, r"attempt to write a readonly database"),
        ({"dsn_env": "GONE_DSN"}, r"the environment variable GONE_DSN is not set; set it to the database's URL"),
        ({"dsn_env": "FILE_DSN"}, r"no such file: .*gone\.db"),
        ({"dsn_env": "ODD_DSN"}, r"holds no URL such as sqlite:///file\.db"),
        ({"dsn_env": "CLOSED_DSN"}, r"sql: CLOSED_DSN: .*refused.*; nothing of it was taken"),
        ({"dsn_env": "BROKEN_DSN"}, r"file is not a database"),
    ],
)
def test_what_goes_wrong_is_told_with_the_cure_and_deletes_nothing(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], says: str
) -> None:
    builder.build(config_of(tmp_path))
    before = live(config_of(tmp_path))
    (tmp_path / "broken.db").write_bytes(b"no database" * 999)
    for name, url in {
        "FILE": "sqlite:///gone.db",
        "ODD": "user=bob password=hunter2",
        "CLOSED": "postgresql://bob:hunter2@127.0.0.1:1/shop?sslpassword=hunter3",
        "BROKEN": "sqlite:///broken.db",
    }.items():
        monkeypatch.setenv(f"{name}_DSN", url)
    with pytest.raises(SourceError, match=says) as caught:
        builder.build(config_of(tmp_path, **changes), allow_deletes=True)
    assert "hunter" not in str(caught.value)
    assert live(config_of(tmp_path)) == before
    assert not (tmp_path / "gone.db").exists()


def test_duckdb_files_are_asked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: Any) -> None:
    import duckdb

    monkeypatch.setenv("SHOP_DSN", "duckdb:///shop.duckdb")
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as database:
        database.execute(
            "CREATE TABLE pages AS SELECT range AS id, 'pears ' || range AS body, DATE '2024-01-01' AS updated, "
            "1.5::DECIMAL(4,2) AS price, [1, 2] AS list, {'a': 1} AS struct, 'x'::BLOB AS bytes FROM range(10)"
        )
    config = config_of(tmp_path, "SELECT * FROM pages", updated_field="updated")
    builder.build(config)
    assert fetched() == [10]
    expected = {
        "id": 3,
        "body": "pears 3",
        "updated": "2024-01-01",
        "price": 1.5,
        "list": [1, 2],
        "struct": {"a": 1},
    }
    assert records(config)[3] == expected
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as database:
        database.execute("UPDATE pages SET body = 'plums', updated = DATE '2024-02-02' WHERE id = 3")
    assert builder.build(config).changed == 1
    assert fetched() == [1, 9]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    pytest.importorskip("adbc_driver_postgresql")
    with server() as url:
        yield url


def change(url: str, *statements: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_postgresql(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOP_DSN", postgres)
    change(
        postgres,
        "DROP TABLE IF EXISTS pages",
        "CREATE TABLE pages (id uuid PRIMARY KEY, body text, title varchar(20), updated timestamptz, price numeric,"
        " whole numeric, live boolean, tags text[], data jsonb, day date, bytes bytea, ratio float8)",
        "INSERT INTO pages SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'pears 감자 ' || n,"
        " 'Page', '2024-01-01 00:00:00+00', 1.50, 7, true, ARRAY['a', 'b'], '{\"k\": 1}', '2024-02-01', 'x', 'NaN'"
        " FROM generate_series(1, 2000) AS n",
    )
    config = config_of(tmp_path, "SELECT * FROM pages ORDER BY id;", updated_field="updated")
    assert builder.build(config).added == 2000
    assert fetched() == [2000]
    first = records(config)[0]
    assert first.pop("updated").startswith("2024-01-01T00:00:00")
    assert first == {
        "id": "00000000-0000-0000-0000-000000000001",
        "body": "pears 감자 1",
        "title": "Page",
        "price": 1.5,
        "whole": 7,
        "live": True,
        "tags": ["a", "b"],
        "data": '{"k": 1}',
        "day": "2024-02-01",
        "ratio": None,
    }
    change(
        postgres,
        "UPDATE pages SET body = 'plums', updated = now() WHERE id::text LIKE '%7'",
        "DELETE FROM pages WHERE id::text LIKE '%8'",
    )
    report = builder.build(config)
    assert fetched() == [200, 1600]
    assert (report.changed, report.deleted, report.unchanged) == (200, 200, 1600)
    assert not builder.build(config).published


def test_no_credential_of_a_url_is_shown_or_stored(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SHOP_DSN", postgres)
    config = config_of(tmp_path, "SELECT 'a' AS id, 'pears' AS body, now() AS updated", updated_field="updated")
    builder.build(config)
    wrong = postgres.replace(QUOTED, "wr0ngword")
    told = []
    for url, sql in ((wrong, "SELECT 1"), (postgres, f"SELECT '{PASSWORD}'::int AS id, 'x' AS body")):
        monkeypatch.setenv("SHOP_DSN", url)
        with pytest.raises(PipelineError) as caught:
            builder.build(config_of(tmp_path, sql))
        told.append(str(caught.value))
    assert "authentication failed" in told[0]
    assert "invalid input syntax" in told[1]
    stored = [p.read_bytes().decode("utf-8", "replace") for p in config.index_path.rglob("*") if p.is_file()]
    for secret in (PASSWORD, QUOTED, "wr0ngword"):
        assert secret not in "".join([*told, caplog.text, *stored])


def test_a_database_is_only_read(postgres: str, tmp_path: Path) -> None:
    def fails(what: str) -> SourceError:
        return SourceError(what)

    def ask(database: Database) -> None:
        list(database.rows("CREATE TABLE mine (id int)"))

    Shop(tmp_path / "shop.db")
    for url in (postgres, "sqlite:///shop.db"):
        with pytest.raises(SourceError, match=r"read-?only"), connected(url, tmp_path, fails) as database:
            ask(database)
