"""Boosts of an index whose metadata is with shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.config.boosts import Boost
from pipeline.query.boosting.factors import Float64, check_dates
from pipeline.query.filter.table import ColumnTable
from pipeline.query.shards import encoding
from pipeline.query.shards.front.asking import Questions
from pipeline.query.shards.messages import Message, NoMessageError
from pipeline.query.snapshot import Ids


class RemoteLifts:
    """Factors of chunks as their shards work them out (`boosting.factors.Lifts`). Raises `QueryError`."""

    def __init__(
        self, questions: Questions, table: ColumnTable, boosts: Sequence[Boost], fields: Mapping[str, Any]
    ) -> None:
        """`table`: the columns of all segments; `fields`: of a question, which say what the search may find."""
        self._questions, self._table, self._boosts = questions, table, boosts
        self._fields = {**fields, "boosts": encoding.boosts_to_fields(boosts)}

    def parts(self, ids: Ids) -> Float64:
        """The factors of some chunks: float64 (boosts, chunks)."""
        places = self._questions.positions(ids)
        return self._asked(ids, places, places)[0]

    def parts_and_rest(self, ids: Ids) -> tuple[Float64, float]:
        """The same, and the largest product of factors among the others that may be found; 0 if there are none."""
        return self._asked(ids, self._questions.positions(ids), self._questions.there)

    def _asked(self, ids: Ids, positions: Mapping[int, Ids], places: Iterable[int]) -> tuple[Float64, float]:
        inside = {place: positions.get(place, np.zeros(0, np.int64)) for place in places}
        answers = self._questions.each(
            "factors", {place: Message(self._fields, {"ids": ids[some]}) for place, some in inside.items()}
        )
        parts = np.ones((len(self._boosts), len(ids)))
        rest, dates = 0.0, np.zeros((len(self._boosts), 2), np.bool_)
        for place, answer in answers.items():
            found, seen = answer.array("parts", "<f8", 2), answer.array("dates", "|b1", 2)
            largest = answer.array("rest", "<f8")
            wanted = (len(self._boosts), len(inside[place])), dates.shape, (1,)
            if (found.shape, seen.shape, largest.shape) != wanted:
                raise NoMessageError("it has other factors than were asked for")
            parts[:, inside[place]] = found
            dates |= seen
            rest = max(rest, float(largest[0]))
        if len(answers) == len(self._questions.there):
            check_dates(self._table, self._boosts, [(bool(one), bool(other)) for one, other in dates])
        return parts, rest
