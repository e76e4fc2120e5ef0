"""Databases that queries are asked of, read-only and in one snapshot: SQLite, PostgreSQL and DuckDB."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import quote, unquote

from pipeline.errors import MissingDependencyError, SourceError
from pipeline.ingest.formats.given.given_rows import rows_of

_ROWS = 1024
INSTALL_SQL = "pip install 'hybrid-pipeline[sql]'"

Row = dict[str, Any]


class Database(Protocol):
    """An open connection. Errors are those of the library, told by `telling`."""

    def columns(self, query: str) -> list[str]:
        """The names of the columns that a query gives."""

    def rows(self, query: str) -> Iterator[Row]:
        """What a query gives, some rows in memory at a time."""


@contextmanager
def connected(url: str, base: Path, telling: Callable[[str], SourceError]) -> Iterator[Database]:
    """The database of a URL; the path of a file is relative to `base`.

    `telling`: makes the error of what a library says, whatever goes wrong within the block. Raises it, and
    `MissingDependencyError`.
    """
    scheme, _, rest = url.partition("://")
    opened = _OPENERS.get(scheme.lower())
    if opened is None:
        known = "sqlite:///file.db, postgresql://user@host/database or duckdb:///file.duckdb"
        raise telling(f"its environment variable holds no URL such as {known}")
    wrong = _errors_of(scheme.lower())
    try:
        with ExitStack() as stack:
            place = url if scheme.lower().startswith("postgres") else _file(rest, base, telling)
            yield opened(place, stack)
    except wrong as error:
        raise telling(" ".join(str(error).split()) or type(error).__name__) from None


def _errors_of(scheme: str) -> type[Exception]:
    """The errors of the library that a scheme needs. Raises `MissingDependencyError` if it is not installed."""
    if scheme == "sqlite":
        return sqlite3.Error
    try:
        if scheme == "duckdb":
            import duckdb

            return cast(type[Exception], duckdb.Error)
        import adbc_driver_manager
        import adbc_driver_postgresql  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingDependencyError(f"a source of `sql` needs {error.name} here; {INSTALL_SQL}") from None
    return adbc_driver_manager.Error


def _file(rest: str, base: Path, telling: Callable[[str], SourceError]) -> Path:
    """The file of `///relative` or `////absolute`, as others write these URLs."""
    path = base / unquote(rest.removeprefix("/"))
    if not path.is_file():
        raise telling(f"no such file: {path}")
    return path


class _Cursors:
    """Any connection whose cursors are those of Python's database interface."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def columns(self, query: str) -> list[str]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(query)  # which finds its first row, and no more
            return [column[0] for column in cursor.description or ()]
        finally:
            cursor.close()

    def rows(self, query: str) -> Iterator[Row]:
        cursor = self._connection.cursor()
        cursor.execute(query)
        names: Sequence[str] = [column[0] for column in cursor.description or ()]
        while found := cursor.fetchmany(_ROWS):
            for row in found:
                yield dict(zip(names, row, strict=True))


class _DuckDb(_Cursors):
    def columns(self, query: str) -> list[str]:
        return [row["column_name"] for row in self.rows(f"DESCRIBE {query}")]


class _Postgres(_Cursors):
    """Rows come as Arrow batches, as the server sends them."""

    def columns(self, query: str) -> list[str]:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) AS wanted LIMIT 0")
            return [column[0] for column in cursor.description or ()]

    def rows(self, query: str) -> Iterator[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            with cursor.fetch_record_batch() as batches:
                for batch in batches:
                    numeric = [field.name for field in batch.schema if _is_numeric(field.metadata)]
                    for start in range(0, len(batch), _ROWS):
                        part = batch.slice(start, _ROWS)
                        row_at = rows_of(part)
                        for i in range(len(part)):
                            row = row_at(i)
                            yield {**row, **{name: _number(row[name]) for name in numeric}}


def _is_numeric(metadata: dict[bytes, bytes] | None) -> bool:
    return bool(metadata) and (metadata or {}).get(b"ADBC:postgresql:typname") == b"numeric"


def _number(value: str | None) -> int | float | None:
    """A number of any precision, which the driver gives as text."""
    if value is None:
        return None
    return int(value) if value.lstrip("-").isdigit() else float(value)


def _sqlite(path: Path, stack: ExitStack) -> Database:
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    stack.callback(connection.close)
    connection.execute("BEGIN")
    return _Cursors(connection)


def _duckdb(path: Path, stack: ExitStack) -> Database:
    import duckdb

    connection = duckdb.connect(str(path), read_only=True)
    stack.callback(connection.close)
    connection.execute("BEGIN")
    return _DuckDb(connection)


def _postgres(url: str, stack: ExitStack) -> Database:
    from adbc_driver_postgresql import dbapi

    connection = stack.enter_context(dbapi.connect(url))
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET standard_conforming_strings = on")
    return _Postgres(connection)


_OPENERS: dict[str, Callable[[Any, ExitStack], Database]] = {
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "postgresql": _postgres,
    "postgres": _postgres,
}
