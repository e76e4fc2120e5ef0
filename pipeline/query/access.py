"""Access by document: a chunk is there for readers who share a group with what its access field says.

Which chunks a reader may see is settled by masks before anything is searched, counted or shown, and no condition of
a query has a say in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arguments import shown
from pipeline.errors import QueryError
from pipeline.index.columns.kinds import Kind, as_text
from pipeline.index.columns.reader import SegmentColumns
from pipeline.index.segment import Mask


class AllGroups(Enum):
    """Whoever may see everything."""

    ALL_GROUPS = "all groups"


ALL_GROUPS = AllGroups.ALL_GROUPS
"""For the owner of an index: every chunk, also those that no group may see."""
Groups = frozenset[str] | AllGroups
NO_GROUPS: Groups = frozenset()
WantedGroups = Iterable[str] | AllGroups | None


def chosen_groups(groups: object) -> Groups:
    """The groups of a reader: `None` is of none. Raises `QueryError` for anything that lists no texts."""
    if groups is None:
        return NO_GROUPS
    if isinstance(groups, AllGroups):
        return groups
    listed = None
    if isinstance(groups, Iterable) and not isinstance(groups, str | bytes) and getattr(groups, "ndim", 1) == 1:
        listed = list(groups)
    if listed is None or not all(isinstance(group, str) for group in listed):
        raise QueryError(f"groups={shown(groups)}: give a list of groups, or pipeline.query.access.ALL_GROUPS")
    return frozenset(map(str, listed))


def narrowed(have: Groups, wanted: Groups) -> Groups:
    """The groups that are among both."""
    if isinstance(have, AllGroups):
        return wanted
    return have if isinstance(wanted, AllGroups) else have & wanted


def visible(segments: Sequence[SegmentColumns], field: str, groups: frozenset[str]) -> list[Mask]:
    """For each segment, the chunks whose field names one of the groups; none that lack it."""
    return [_visible(segment, field, groups) for segment in segments]


def _visible(segment: SegmentColumns, field: str, groups: frozenset[str]) -> Mask:
    name = next((name for name in segment.names if name.lower() == field.lower()), None)
    if name is None:
        return np.zeros(segment.chunks, np.bool_)
    entries = segment.dictionary(name, segment.kind(name)).to_pylist()
    shares = np.array([not groups.isdisjoint(named_groups(value)) for value in entries], np.bool_)
    found: Mask = shares[segment.codes(name)]
    return found


def count_documents(segments: Sequence[SegmentColumns], among: Sequence[Mask]) -> int:
    """How many documents some chunks belong to; one may begin in one segment and end in another."""
    found = [np.unique(one.codes("doc_id")[mask]) for one, mask in zip(segments, among, strict=True)]
    if len(segments) < 2:
        return sum(map(len, found))
    names: set[str] = set()
    for one, codes in zip(segments, found, strict=True):
        entries = one.dictionary("doc_id", Kind.TEXT)
        names.update(entries.take(pa.array(codes.tolist(), pa.int64())).to_pylist())
    return len(names)


def named_groups(value: Any) -> frozenset[str]:
    """The groups that a field's value names: itself, or those it lists.

    Where some documents have a list and others a text, lists are kept as JSON.
    """
    if value is None:
        return frozenset()
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return frozenset({value})
    return frozenset(map(as_text, value)) if isinstance(value, list) else frozenset({as_text(value)})
