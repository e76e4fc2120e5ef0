"""What one call changes of what an adapter was made with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.integrations.parameters import CallOptions, SearchParameters
from pipeline.query.request import SearchOptions

VALUES = st.dictionaries(st.sampled_from(sorted(CallOptions.__annotations__)), st.none() | st.integers(1, 9))


def test_every_argument_of_a_search_is_there() -> None:
    assert CallOptions.__annotations__.keys() == {"k", "mode", "groups"} | SearchOptions.__annotations__.keys()
    assert SearchParameters.__annotations__.keys() == CallOptions.__annotations__.keys()


@given(VALUES, VALUES)
def test_a_call_wins_where_it_says_something(made: dict[str, int | None], call: dict[str, int | None]) -> None:
    said = SearchParameters(**made).changed(call).said()  # type: ignore[arg-type]
    for name in CallOptions.__annotations__:
        expected = made.get(name) if call.get(name) is None else call[name]
        assert said.get(name) == (None if name == "groups" else expected)
    assert None not in said.values()


def test_false_is_something_to_say() -> None:
    assert SearchParameters(collapse=True).changed({"collapse": False}).said() == {"collapse": False}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'filter'"):
        SearchParameters().changed({"filter": "x"})
