"""What shards say of columns, facets and documents, put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import QueryError
from pipeline.forking import Lock
from pipeline.index.columns.kinds import Kind
from pipeline.query.filter.table import AgreedColumn, Column, ColumnTable, agreed
from pipeline.query.fusion.methods import unknown
from pipeline.query.shards.messages import Message, NoMessageError
from pipeline.records import Facet, FacetValue

Ask = Callable[..., dict[int, Message]]


class AgreedColumns(ColumnTable):
    """The columns of all shards' segments. Their values are with the shards."""

    def __init__(self, columns: Sequence[AgreedColumn], entries: Mapping[str, int]) -> None:
        """`entries`: by a column's name in lower case, how many values it has in the segment where it has most."""
        super().__init__((), None, columns)
        self.agreed = tuple(columns)
        self._entries = entries

    def entries(self, column: Column) -> int:
        """How many values a column has, none included, in the segment where it has most."""
        return self._entries.get(column.name.lower(), 1)

    def counted(self, field: str) -> Column:
        """A column to count. Raises `QueryError` for an unknown one."""
        column = self.column(field)
        if column is None:
            raise QueryError(f"facet: {unknown('field', field, self.names)}")
        return column


def agreed_columns(answers: Mapping[int, Message], owners: Sequence[int]) -> AgreedColumns:
    """The columns of an index from those that each shard has in each of its segments."""
    found: list[list[tuple[str, Kind]]] = []
    entries: dict[str, int] = {}
    try:
        for answer in answers.values():
            for segment in answer.listed("columns"):
                found.append([(str(name), Kind[kind]) for name, kind, _ in segment])
                for name, _, count in segment:
                    entries[name.lower()] = max(entries.get(name.lower(), 1), int(count))
    except (TypeError, ValueError, KeyError, AttributeError):
        raise NoMessageError("it has something else than columns") from None
    return AgreedColumns(agreed(found), entries)


def merged_facets(columns: Sequence[Column], limit: int | None, answers: Iterable[Message]) -> list[Facet]:
    """The facets of all shards together.

    An answer has those of the documents that only its shard has, and then those of each document apart, of which
    several shards have chunks: there a value counts for the document once.
    """
    per_value: list[dict[Any, list[Any]]] = [{} for _ in columns]  # value, chunks, documents, documents apart
    missing = [0] * len(columns)
    try:
        for answer in answers:
            for apart, facets in enumerate(answer.listed("facets")):
                for number, (values, none) in enumerate(facets):
                    missing[number] += int(none)
                    for value, chunks, documents in values:
                        key = "NaN" if value != value else (type(value) is bool, value)
                        one = per_value[number].setdefault(key, [value, 0, 0, set()])
                        one[1] += chunks
                        one[2] += documents if apart == 0 else 0
                        one[3] |= {apart} if apart else set()
    except (TypeError, ValueError, IndexError):
        raise NoMessageError("it has something else than facets") from None
    result = []
    for column, found, none in zip(columns, per_value, missing, strict=True):
        values = [FacetValue(value, chunks, own + len(shared)) for value, chunks, own, shared in found.values()]
        values.sort(key=lambda one: (-one.chunks, one.value != one.value, one.value))
        result.append(Facet(column.name, tuple(values[:limit]), len(values), none))
    return result


class SharedDocuments:
    """Which documents several shards have chunks of: mostly none, or those that the end of a segment cut."""

    def __init__(self, documents: int | None) -> None:
        """`documents`: how many the index has, if all shards are asked; they add up where none is shared."""
        self._documents = documents
        self._known: list[str] | None = None
        self._lock = Lock()

    def doc_ids(self, ask: Ask) -> list[str]:
        """Their ids."""
        with self._lock:
            if self._known is None:
                self._known = self._found(ask)
            return self._known

    def count(self, ask: Ask) -> int:
        """How many documents there are, those that several shards have counted once."""
        answers = list(ask("documents", {"apart": self.doc_ids(ask)}).values())
        seen = [answer.listed("seen") for answer in answers]
        return sum(answer.whole("documents") for answer in answers) + sum(map(any, zip(*seen, strict=True)))

    def _found(self, ask: Ask) -> list[str]:
        if self._documents is not None:
            counts = [answer.whole("documents") for answer in ask("documents", {"apart": []}).values()]
            if sum(counts) == self._documents:
                return []
        hashes = [answer.array("hashes", "<u8") for answer in ask("document_hashes").values()]
        values, times = np.unique(np.concatenate([np.zeros(0, np.uint64), *hashes]), return_counts=True)
        named = Counter(
            doc_id
            for answer in ask("document_hashes", None, {"hashes": values[times > 1]}).values()
            for doc_id in answer.texts("doc_ids")
        )
        return sorted(doc_id for doc_id, shards in named.items() if shards > 1)
