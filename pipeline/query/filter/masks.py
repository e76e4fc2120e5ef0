"""Metadata filters: an SQL condition over the chunks' columns, by DuckDB with no access to anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import MissingDependencyError, QueryError
from pipeline.index.chunks import ChunkStore
from pipeline.query.filter.allowed import DOCUMENTED, LIMITS, Limits
from pipeline.query.filter.conditions import (
    ROW,
    TABLE,
    TOO_DEEP,
    described,
    objection,
    simple_case,
    statement,
    unreadable,
)
from pipeline.query.filter.deadline import interrupted_after

Mask = npt.NDArray[np.bool_]
_ROWS_AT_ONCE = 256  # DuckDB can be interrupted between such groups, and holds what is made of one in memory
CHUNK_COLUMNS = ("chunk_id", "doc_id", "source", "ordinal")


class ChunkFilter:
    """Evaluates conditions on the chunks of a snapshot; the columns are read once and kept.

    Columns: `chunk_id`, `doc_id`, `source`, `ordinal`, and every metadata key (a key of the same name is hidden).
    SQL names know no case, so keys that differ by it alone are one column, of whatever each chunk has. A key's type
    is that of its values: whole numbers, numbers, truth values, lists of strings, else strings; a chunk without the
    key has NULL.
    """

    def __init__(self, stores: Sequence[ChunkStore], sizes: Sequence[int], limits: Limits = LIMITS) -> None:
        self._sizes, self._limits = sizes, limits
        columns: dict[str, list[Any]] = {name: [] for name in CHUNK_COLUMNS}
        metadata: list[Mapping[str, Any]] = []
        for store in stores:
            for name in CHUNK_COLUMNS:
                columns[name].extend(store.column(name).tolist())
            metadata.extend(json.loads(value) for value in store.column("metadata"))
        table = {name: pa.array(values) for name, values in columns.items()}
        spellings: dict[str, list[str]] = {}
        for key in sorted({key for record in metadata for key in record}):
            spellings.setdefault(key.lower(), []).append(key)
        for name, keys in spellings.items():
            if name not in CHUNK_COLUMNS:
                table[keys[-1]] = _typed([_first(record, keys) for record in metadata])
        table[ROW] = pa.array(np.arange(len(metadata)))
        whole = pa.table(table)
        self._table = pa.Table.from_batches(whole.to_batches(max_chunksize=_ROWS_AT_ONCE), whole.schema)
        self._names = [name for name in self._table.column_names if name != ROW]

    def masks(self, condition: str) -> list[Mask]:
        """For each segment, which chunks satisfy the condition. Raises `QueryError` pointing at what is wrong."""
        duckdb = _duckdb()
        try:
            wrong = unreadable(condition, self._limits)
            if wrong is None and "case" in condition.lower():
                wrong = simple_case(condition, _tokens(condition))
            if wrong is not None:
                raise QueryError(f"filter: {wrong}")
            with (
                _connection(self._limits) as connection,
                interrupted_after(self._limits.seconds, connection.interrupt),
            ):
                rows = self._satisfying(connection, condition)
        except duckdb.InterruptException:
            raise QueryError(f"filter: took longer than {self._limits.seconds:g} s; {DOCUMENTED}") from None
        except (duckdb.OutOfMemoryException, MemoryError):
            raise QueryError(f"filter: needs more than {self._limits.memory} of memory; {DOCUMENTED}") from None
        except RecursionError:
            raise QueryError(f"filter: {TOO_DEEP}") from None
        except duckdb.Error as error:
            raise QueryError(f"filter: {described(_detail(error), condition, self._names)}") from None
        kept = np.zeros(len(self._table), np.bool_)
        kept[rows] = True
        return np.split(kept, np.cumsum(self._sizes)[:-1])

    def _satisfying(self, connection: Any, condition: str) -> npt.NDArray[np.int64]:
        """Numbers of the chunks that satisfy a condition, once it is seen to be one."""

        def kinds(name: str) -> list[str]:
            query = "SELECT DISTINCT function_type FROM duckdb_functions() WHERE lower(function_name) = ?"
            return [row[0] for row in connection.execute(query, [name]).fetchall()]

        tree, plain = _tree(connection, condition), _tree(connection, "true")
        wrong = objection(tree, plain, condition, self._names, kinds, self._limits)
        if wrong is not None:
            raise QueryError(f"filter: {wrong}")
        connection.register(TABLE, self._table)
        rows: npt.NDArray[np.int64] = connection.execute(statement(condition)).fetchnumpy()[ROW]
        return rows


def _connection(limits: Limits) -> Any:
    """A database of its own for one filter, so that an interrupt or want of memory touches no other."""
    settings = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "threads": "1",
        "memory_limit": limits.memory,
        "max_temp_directory_size": "0KiB",
        "max_expression_depth": str(limits.depth),
    }
    connection = _duckdb().connect(":memory:", config=settings)
    connection.execute("SET errors_as_json = true; SET lock_configuration = true")
    return connection


def _tokens(condition: str) -> list[tuple[int, str]]:
    """Where each token starts, in bytes, and its text; comments left out."""
    duckdb = _duckdb()
    data, found = condition.encode(), duckdb.tokenize(condition)
    ends = [*(start for start, _ in found[1:]), len(data)]
    return [
        (start, data[start:end].decode(errors="replace").rstrip(" \t\r\n\v\f"))
        for (start, kind), end in zip(found, ends, strict=True)
        if kind != duckdb.token_type.comment
    ]


def _tree(connection: Any, condition: str) -> dict[str, Any]:
    """The parsed statement, or where and why it could not be parsed."""
    options = "skip_null := true, skip_empty := true, skip_default := true"
    query = f"SELECT json_serialize_sql(?::VARCHAR, {options})"
    tree: dict[str, Any] = json.loads(connection.execute(query, [statement(condition)]).fetchall()[0][0])
    return tree


def _detail(error: Exception) -> dict[str, Any]:
    text = str(error)
    try:
        detail: dict[str, Any] = json.loads(text[text.index("{") :])
    except ValueError:
        return {"exception_message": text.partition(": ")[2] or text}
    return detail


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((record[key] for key in reversed(keys) if record.get(key) is not None), None)


def _typed(values: Sequence[Any]) -> pa.Array:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return pa.array(values, pa.bool_())
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    if known and numbers:
        whole = all(isinstance(value, int) for value in known)
        return pa.array(values, pa.int64() if whole else pa.float64())
    if known and all(isinstance(value, list) for value in known):
        lists = [None if value is None else [_text(one) for one in value] for value in values]
        return pa.array(lists, pa.list_(pa.string()))
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise MissingDependencyError("filters need duckdb: pip install duckdb") from None
    return duckdb
