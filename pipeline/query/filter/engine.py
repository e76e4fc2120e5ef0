"""DuckDB, as far as filters use it: it parses a condition and evaluates it, with no access to anything else.

A filter has a database to itself while it runs, so that an interrupt or want of memory touches no other. To start
one takes longer than most filters, so those that ended well are used again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import MissingDependencyError, QueryError
from pipeline.forking import PerProcess
from pipeline.query.filter.allowed import DOCUMENTED, Limits
from pipeline.query.filter.conditions import ROW, TABLE, TOO_DEEP, described, statement
from pipeline.query.filter.deadline import interrupted_after

_MOST_IDLE = 4


class Database:
    """A database for one condition at a time. Get one by `database`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        settings = {
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "threads": "1",
            "memory_limit": limits.memory,
            "max_temp_directory_size": "0KiB",
            "max_expression_depth": str(limits.depth),
        }
        self._connection = _duckdb().connect(":memory:", config=settings)
        self._connection.execute("SET errors_as_json = true; SET lock_configuration = true")

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The parsed statement of the condition `true`."""
        return self.tree("true")

    def tree(self, condition: str) -> dict[str, Any]:
        """The parsed statement, or where and why it could not be parsed."""
        options = "skip_null := true, skip_empty := true, skip_default := true"
        query = f"SELECT json_serialize_sql(?::VARCHAR, {options})"
        text = self._connection.execute(query, [statement(condition)]).fetchall()[0][0]
        tree: dict[str, Any] = json.loads(text)
        return tree

    def kinds(self, name: str) -> list[str]:
        """What a function's name stands for: `scalar`, `aggregate`, …"""
        query = "SELECT DISTINCT function_type FROM duckdb_functions() WHERE lower(function_name) = ?"
        return [row[0] for row in self._connection.execute(query, [name]).fetchall()]

    def satisfying(self, table: pa.Table, condition: str) -> npt.NDArray[np.int64]:
        """The numbers of the rows that satisfy a condition, which was seen to be one."""
        self._connection.register(TABLE, table)
        rows: npt.NDArray[np.int64] = self._connection.execute(statement(condition)).fetchnumpy()[ROW]
        self._connection.unregister(TABLE)
        return rows

    def satisfying_part(self, table: pa.Table, tree: Mapping[str, Any]) -> npt.NDArray[np.int64] | None:
        """The same for a parsed statement with a part of the condition; `None` if that fails.

        Where the whole condition is asked, others of its parts may keep from this one what it fails at.
        """
        duckdb = _duckdb()
        self._connection.register(TABLE, table)
        try:
            text = self._connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchall()
            rows: npt.NDArray[np.int64] = self._connection.execute(text[0][0]).fetchnumpy()[ROW]
        except (duckdb.InterruptException, duckdb.OutOfMemoryException):
            raise
        except duckdb.Error:
            return None
        return rows

    def interrupt(self) -> None:
        """Stop what it does. From any thread."""
        self._connection.interrupt()

    def close(self) -> None:
        """Give it up."""
        self._connection.close()


_idle: PerProcess[list[Database]] = PerProcess(list)


@contextmanager
def database(condition: str, names: list[str], limits: Limits) -> Iterator[Database]:
    """Lend a database for as long as `limits` allow. What goes wrong in it becomes a `QueryError` about a condition
    on columns of these names."""
    duckdb = _duckdb()
    started = time.monotonic()
    lent = _taken(limits)
    is_well = False
    try:
        with interrupted_after(limits.seconds, lent.interrupt):
            yield lent
        is_well = time.monotonic() - started < limits.seconds  # else an interrupt may still wait in it
    except duckdb.InterruptException:
        raise QueryError(f"filter: took longer than {limits.seconds:g} s; {DOCUMENTED}") from None
    except (duckdb.OutOfMemoryException, MemoryError):
        raise QueryError(f"filter: needs more than {limits.memory} of memory; {DOCUMENTED}") from None
    except RecursionError:
        raise QueryError(f"filter: {TOO_DEEP}") from None
    except duckdb.Error as error:
        raise QueryError(f"filter: {described(_detail(error), condition, names)}") from None
    finally:
        if is_well and len(_idle.get()) < _MOST_IDLE:
            _idle.get().append(lent)
        else:
            lent.close()


def tokens(condition: str) -> list[tuple[int, str]]:
    """Where each token starts, in bytes, and its text; comments left out."""
    duckdb = _duckdb()
    data, found = condition.encode(), duckdb.tokenize(condition)
    ends = [*(start for start, _ in found[1:]), len(data)]
    return [
        (start, data[start:end].decode(errors="replace").rstrip(" \t\r\n\v\f"))
        for (start, kind), end in zip(found, ends, strict=True)
        if kind != duckdb.token_type.comment
    ]


def _taken(limits: Limits) -> Database:
    idle = _idle.get()
    while idle:
        try:
            found = idle.pop()
        except IndexError:  # another thread was quicker
            break
        if found.limits == limits:
            return found
        found.close()
    return Database(limits)


def _detail(error: Exception) -> dict[str, Any]:
    text = str(error)
    try:
        detail: dict[str, Any] = json.loads(text[text.index("{") :])
    except ValueError:
        return {"exception_message": text.partition(": ")[2] or text}
    return detail


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise MissingDependencyError("filters need duckdb: pip install duckdb") from None
    return duckdb
