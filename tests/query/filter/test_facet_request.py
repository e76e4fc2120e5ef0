"""What is to be counted is checked before anything is read."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import QueryError
from pipeline.query.filter.facet_request import FACET_VALUES, FacetRequest


@pytest.mark.parametrize("fields", [["lang", "tags"], ("lang", "tags"), (name for name in ("lang", "tags"))])
def test_fields_come_in_their_order(fields: object) -> None:
    assert FacetRequest.of(fields) == FacetRequest(("lang", "tags"), FACET_VALUES)


def test_one_name_is_one_field() -> None:
    assert FacetRequest.of("lang", None) == FacetRequest(("lang",), None)
    assert FacetRequest.of("lang", np.int64(3)).limit == 3


@pytest.mark.parametrize("fields", [None, 7, {"lang"}, {"lang": 1}, b"lang", ["lang", 1]])
def test_anything_else_is_refused(fields: object) -> None:
    with pytest.raises(QueryError, match=r"^fields=.*: give a list of metadata fields"):
        FacetRequest.of(fields)


@pytest.mark.parametrize("limit", [0, -1, "5", True, 1.5])
def test_a_limit_is_a_number_of_values(limit: object) -> None:
    with pytest.raises(QueryError, match=r"^limit=.*: give how many values of a field to list, or None for all"):
        FacetRequest.of(["lang"], limit)
