"""Filters as they are defined: a condition asked of every chunk's metadata, all in one table of typed columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

CHUNK_COLUMNS = ("chunk_id", "doc_id", "source", "ordinal")


def table_of(chunks: pa.Table) -> pa.Table:
    """The typed table of chunks with the columns of `SOURCES`, and a column `__row`."""
    table = {name: pa.array(chunks.column(name).to_pylist()) for name in CHUNK_COLUMNS}
    metadata = [json.loads(text) for text in chunks.column("metadata").to_pylist()]
    spellings: dict[str, list[str]] = {}
    for key in sorted({key for record in metadata for key in record}):
        spellings.setdefault(key.lower(), []).append(key)
    for name, keys in spellings.items():
        if name not in CHUNK_COLUMNS:
            table[keys[-1]] = _typed([_first(record, keys) for record in metadata])
    return pa.table(table | {"__row": pa.array(range(len(metadata)), pa.int64())})


def satisfying(table: pa.Table, condition: str) -> list[int] | None:
    """The rows that satisfy a condition, `None` if it cannot be asked of them."""
    settings = {"threads": "1", "enable_external_access": "false"}
    with duckdb.connect(":memory:", config=settings) as connection:
        connection.register("chunks", table)
        try:
            found = connection.execute(f"SELECT __row FROM chunks WHERE (\n{condition}\n)").fetchnumpy()
        except duckdb.Error:
            return None
    rows: list[int] = sorted(found["__row"].tolist())
    return rows


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((record[key] for key in reversed(keys) if record.get(key) is not None), None)


def _typed(values: Sequence[Any]) -> pa.Array:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return pa.array(values, pa.bool_())
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        whole = all(isinstance(value, int) for value in known)
        return pa.array(values, pa.int64() if whole else pa.float64())
    if known and all(isinstance(value, list) for value in known):
        lists = [None if value is None else [_text(one) for one in value] for value in values]
        return pa.array(lists, pa.list_(pa.string()))
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
