"""Metadata filters: which chunks satisfy an SQL condition over their columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.errors import QueryError
from pipeline.index.segment import Mask
from pipeline.query.filter.allowed import LIMITS, Limits
from pipeline.query.filter.cache import MaskCache
from pipeline.query.filter.conditions import (
    TABLE,
    is_plain,
    is_timeless,
    mentioned,
    objection,
    simple_case,
    unreadable,
    where_of,
    with_where,
)
from pipeline.query.filter.engine import Database, database, tokens
from pipeline.query.filter.split import Joint, Part, split
from pipeline.query.filter.table import ColumnTable, Combinations

_ROWS_AT_ONCE = 256  # DuckDB can be interrupted between such groups, and holds what is made of one in memory
_PLAIN_ROWS_AT_ONCE = 2048
_CACHED_BYTES = 64 << 20
FEW = 32_768


class ChunkFilter:
    """Evaluates conditions on the chunks of a snapshot, and keeps the masks of those asked last.

    Columns: `chunk_id`, `doc_id`, `source`, `ordinal`, and every metadata key (a key of the same name is hidden).
    SQL names know no case, so keys that differ by it alone are one column, of whatever each chunk has. A key's type
    is that of its values: whole numbers, numbers, truth values, lists of strings, else strings; a chunk without the
    key has NULL.
    """

    def __init__(self, table: ColumnTable, limits: Limits = LIMITS, few: int = FEW) -> None:
        """`few`: a condition on more combinations of values than these is asked in parts."""
        self._table, self._limits, self._few = table, limits, few
        self._cache = MaskCache(_CACHED_BYTES)
        self._names = table.names

    def has(self, condition: str) -> bool:
        """Whether the masks of a condition are kept."""
        return self._cache.get(condition) is not None

    def masks(self, condition: str) -> list[Mask]:
        """For each segment, which chunks satisfy the condition; not to be written to.

        Raises `QueryError` pointing at what is wrong, `CorruptIndexError`.
        """
        if (known := self._cache.get(condition)) is not None:
            return known
        if (wrong := unreadable(condition, self._limits)) is not None:
            raise QueryError(f"filter: {wrong}")
        with database(condition, self._names, self._limits) as lent:
            tree = self._checked(lent, condition)
            where = where_of(tree) or {}
            plan = split(where, self._are_few)
            masks = None if isinstance(plan, Part) else self._jointly(lent, tree, plan)
            if masks is None:
                combinations = self._combinations(where)
                masks = combinations.masks(lent.satisfying(combinations.table, condition))
        if is_timeless(where):
            self._cache.put(condition, masks)
        return masks

    def _checked(self, lent: Database, condition: str) -> dict[str, Any]:
        """The parsed statement, once it is seen to be no more than a condition."""
        wrong = simple_case(condition, tokens(condition)) if "case" in condition.lower() else None
        if wrong is None:
            tree = lent.tree(condition)
            wrong = objection(tree, lent.plain, condition, self._names, lent.kinds, self._limits)
        if wrong is not None:
            raise QueryError(f"filter: {wrong}")
        return tree

    def _jointly(self, lent: Database, tree: Mapping[str, Any], plan: Part | Joint) -> list[Mask] | None:
        """The masks of a condition in parts, `None` if one of them fails alone."""
        if isinstance(plan, Part):
            combinations = self._combinations(plan.node)
            rows = lent.satisfying_part(combinations.table, with_where(tree, plan.node))
            return None if rows is None else combinations.masks(rows)
        masks: list[Mask] | None = None
        for part in plan.parts:
            found = self._jointly(lent, tree, part)
            if found is None:
                return None
            combine = np.logical_and if plan.needs_all else np.logical_or
            masks = found if masks is None else [combine(*pair) for pair in zip(masks, found, strict=True)]
        return masks

    def _combinations(self, where: Mapping[str, Any]) -> Combinations:
        """The combinations of values in the columns that a condition mentions; in all of them for the table's."""
        names = mentioned(where)
        if TABLE in names and self._table.column(TABLE) is None:
            names = {name.lower() for name in self._names}
        columns = [self._table.column(name) for name in sorted(names)]
        group_rows = _PLAIN_ROWS_AT_ONCE if is_plain(where) else _ROWS_AT_ONCE
        return self._table.combinations([column for column in columns if column is not None], group_rows)

    def _are_few(self, names: Iterable[str]) -> bool:
        columns = (self._table.column(name) for name in names)
        return math.prod(self._table.entries(column) for column in columns if column is not None) <= self._few
