"""Answers that are made without looking at their values are those that are made with it."""

from __future__ import annotations

import pytest

from pipeline.serve.schemas.search import LegAnswer, MatchAnswer, QueryAnswer


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (LegAnswer, {"score": 0.5, "rank": None, "normalized": 0.25, "weight": 1.0, "contribution": 0.25}),
        (MatchAnswer, {"token": "단어", "query_weight": 1.0, "passage_weight": 0.5, "contribution": 0.5}),
        (QueryAnswer, {"query": "words", "hits": [], "trust": [], "suggestions": []}),
    ],
)
def test_an_answer_of_known_values_is_the_checked_one(
    kind: type[LegAnswer | MatchAnswer | QueryAnswer], fields: dict[str, object]
) -> None:
    known, checked = kind.of(**fields), kind.model_validate(fields)
    assert known == checked
    assert known.as_json() == checked.as_json()
    assert known.model_dump(exclude_unset=True) == fields
    assert known.model_copy() == checked
