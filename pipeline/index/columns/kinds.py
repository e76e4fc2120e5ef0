"""What the values of a metadata key are, in one segment and over a whole index."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from typing import Any

import pyarrow as pa

CHUNK_COLUMNS = ("chunk_id", "doc_id", "source", "ordinal")
"""The columns that every chunk has; a metadata key of the same name is hidden."""

_INT64 = 1 << 63


class Kind(Enum):
    """The type of a column, which is that of all its values. `NOTHING`: it has none."""

    NOTHING = "nothing"
    BOOL = "truth values"
    INT = "whole numbers"
    FLOAT = "numbers"
    LIST = "lists of texts"
    TEXT = "texts"


TYPES: dict[Kind, pa.DataType] = {
    Kind.NOTHING: pa.large_string(),
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.LIST: pa.large_list(pa.large_string()),
    Kind.TEXT: pa.large_string(),
}


def kind_of(value: Any) -> Kind:
    """The kind of one value from JSON. A whole number of more than 64 bits is a text, as records are."""
    match value:
        case None:
            return Kind.NOTHING
        case bool():
            return Kind.BOOL
        case int():
            return Kind.INT if -_INT64 <= value < _INT64 else Kind.TEXT
        case float():
            return Kind.FLOAT
        case list():
            return Kind.LIST
    return Kind.TEXT


def common(kinds: Iterable[Kind]) -> Kind:
    """The kind that values of all these kinds have together."""
    found = set(kinds) - {Kind.NOTHING}
    if found == {Kind.INT, Kind.FLOAT}:
        return Kind.FLOAT
    if len(found) > 1:
        return Kind.TEXT
    return found.pop() if found else Kind.NOTHING


def as_text(value: Any) -> str:
    """A value where the column is one of texts: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_kind(value: Any, kind: Kind) -> Any:
    """A value as an element of a column of this kind, which is that of its values."""
    if kind is Kind.LIST:
        return [as_text(one) for one in value]
    return float(value) if kind is Kind.FLOAT else value


def stored_type(kind: Kind) -> pa.DataType:
    """The type of a dictionary's entries: the value, and the same as a text, should others of its key be texts."""
    if kind in (Kind.TEXT, Kind.NOTHING):
        return TYPES[kind]
    return pa.struct([pa.field("value", TYPES[kind]), pa.field("text", pa.large_string())])
