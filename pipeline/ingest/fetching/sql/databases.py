"""Databases that queries are asked of, read-only and in one snapshot: SQLite, PostgreSQL and DuckDB."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import quote, unquote

from pipeline.errors import MissingDependencyError, SourceError
from pipeline.ingest.fetching.sql.aside import Aside
from pipeline.ingest.formats.given.given_rows import rows_of

_ROWS = 1024
INSTALL_SQL = "pip install 'hybrid-pipeline[sql]'"

Row = dict[str, Any]


class Database(Protocol):
    """An open connection. Errors are those of the library, told by `telling`. An interruption cancels what the
    database is doing."""

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
        with Aside() as aside, ExitStack() as stack:
            place = url if scheme.lower().startswith("postgres") else _file(rest, base, telling)
            yield opened(place, aside, stack)
    except wrong as error:
        raise telling(" ".join(str(error).split()) or type(error).__name__) from None


class _BrokenOffError(Exception):
    """A query failed when some of its rows had come already."""


def _errors_of(scheme: str) -> type[Exception] | tuple[type[Exception], ...]:
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
    return adbc_driver_manager.Error, _BrokenOffError


def _file(rest: str, base: Path, telling: Callable[[str], SourceError]) -> Path:
    """The file of `///relative` or `////absolute`, as others write these URLs."""
    path = base / unquote(rest.removeprefix("/"))
    if not path.is_file():
        raise telling(f"no such file: {path}")
    return path


class _Cursors:
    """Any connection with cursors of Python's database interface. `cancel`: ends what a cursor is doing."""

    def __init__(self, connection: Any, aside: Aside, cancel: Callable[[Any], object]) -> None:
        self._connection, self._aside, self._cancel = connection, aside, cancel

    @contextmanager
    def _executed(self, query: str) -> Iterator[tuple[Any, Callable[[], object]]]:
        """A cursor that a query was given to, and what ends that one."""
        cursor = self._aside.call(self._connection.cursor)
        cancel = partial(self._cancel, cursor)
        try:
            self._aside.call(partial(cursor.execute, query), cancel)
            yield cursor, cancel
        finally:
            self._aside.tidy(cursor.close)

    def columns(self, query: str) -> list[str]:
        with self._executed(query) as (cursor, _):  # which finds its first row, and no more
            return [column[0] for column in cursor.description or ()]

    def rows(self, query: str) -> Iterator[Row]:
        with self._executed(query) as (cursor, cancel):
            names: Sequence[str] = [column[0] for column in cursor.description or ()]
            while found := self._aside.call(partial(cursor.fetchmany, _ROWS), cancel):
                for row in found:
                    yield dict(zip(names, row, strict=True))


class _DuckDb(_Cursors):
    def columns(self, query: str) -> list[str]:
        return [row["column_name"] for row in self.rows(f"DESCRIBE {query}")]


class _Postgres(_Cursors):
    """Rows come as Arrow batches, as the server sends them."""

    def columns(self, query: str) -> list[str]:
        return super().columns(f"SELECT * FROM ({query}\n) AS wanted LIMIT 0")

    def rows(self, query: str) -> Iterator[Row]:
        with self._executed(query) as (cursor, cancel):
            batches = self._aside.call(cursor.fetch_record_batch, cancel)
            try:
                while (batch := self._aside.call(partial(_next_batch, batches), cancel)) is not None:
                    yield from _rows(batch)
            finally:
                self._aside.tidy(batches.close)


def _next_batch(batches: Any) -> Any:
    """`None` behind the last one."""
    import pyarrow as pa

    try:
        return next(batches, None)
    except (OSError, pa.ArrowException) as error:  # what the server said comes through Arrow here
        raise _BrokenOffError(str(error)) from None


def _rows(batch: Any) -> Iterator[Row]:
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


def _sqlite(path: Path, aside: Aside, stack: ExitStack) -> Database:
    connection = aside.call(
        partial(
            sqlite3.connect,
            f"file:{quote(str(path))}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
    )
    stack.callback(aside.tidy, connection.close)
    aside.call(partial(connection.execute, "BEGIN"))
    return _Cursors(connection, aside, lambda cursor: connection.interrupt())


def _duckdb(path: Path, aside: Aside, stack: ExitStack) -> Database:
    import duckdb

    connection = duckdb.connect(str(path), read_only=True)
    stack.callback(aside.tidy, connection.close)
    connection.execute("BEGIN")
    return _DuckDb(connection, aside, lambda cursor: cursor.interrupt())


def _postgres(url: str, aside: Aside, stack: ExitStack) -> Database:
    from adbc_driver_postgresql import dbapi

    connection = aside.call(partial(dbapi.connect, url))
    stack.callback(aside.tidy, connection.close)
    database = _Postgres(connection, aside, lambda cursor: cursor.adbc_cancel())
    for setting in ("TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", "standard_conforming_strings = on"):
        with database._executed(f"SET {setting}"):
            pass
    return database


_OPENERS: dict[str, Callable[[Any, Aside, ExitStack], Database]] = {
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "postgresql": _postgres,
    "postgres": _postgres,
}
