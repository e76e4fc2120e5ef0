"""Edits change what they should, keep everything else, or refuse."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.edit import edited
from pipeline.errors import ConfigError

METHOD, DENSE = ("query", "fusion", "method"), ("query", "fusion", "weights", "dense")
CHANGES = {METHOD: "minmax", DENSE: 0.3}
WANTED = {"method": "minmax", "weights": {"dense": 0.3}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "query:\n  fusion:\n    method: minmax\n"),
        ("# only this\n", "# only this\n\nquery:\n  fusion:\n    method: minmax\n"),
        ("index: a", "index: a\n\nquery:\n  fusion:\n    method: minmax\n"),
        ("query:\nindex: a\n", "query: {fusion: {method: minmax}}\nindex: a\n"),
        ("query: {}  # all defaults\n", "query: {fusion: {method: minmax}}  # all defaults\n"),
        ("query: {k: 5}\n", "query: {fusion: {method: minmax}, k: 5}\n"),
        ("query:\n  # ten\n  k: 10\n", "query:\n  # ten\n  fusion: {method: minmax}\n  k: 10\n"),
        (
            "query:\n  fusion:   # how\n    rrf_k: 9.0\n",
            "query:\n  fusion:   # how\n    method: minmax\n    rrf_k: 9.0\n",
        ),
        (
            "query:\n  fusion:\n    method: auto   # 왜?\n\n# end\n",
            "query:\n  fusion:\n    method: minmax   # 왜?\n\n# end\n",
        ),
        ("query:\n  fusion: {method: 'rrf', rrf_k: 9.0}\n", "query:\n  fusion: {method: minmax, rrf_k: 9.0}\n"),
        ("query: {fusion: {method: rrf}}\r\n# x\r\n", "query: {fusion: {method: minmax}}\r\n# x\r\n"),
    ],
)
def test_by_hand(before: str, after: str) -> None:
    assert edited(before, {METHOD: "minmax"}) == after


def test_a_block_of_weights_keeps_its_other_legs_and_comments() -> None:
    text = "query:\n  fusion:\n    weights:\n      # model\n      dense: 1.0  # one\n      lexical: 2.0\n"
    assert edited(text, {DENSE: 0.3}) == text.replace("1.0  # one", "0.3  # one")


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {method: rrf}\nquery:\n  fusion: *x\n",  # would change `a` too
        "query: {fusion: {method: rrf}}\n---\nindex: b\n",
        "query: [1, 2\n",
        "- a\n",
        "just text",
    ],
)
def test_what_cannot_be_edited_safely_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="conf: cannot be edited"):
        edited(text, CHANGES, "conf")


scalars = st.one_of(st.integers(), st.booleans(), st.none(), st.text(max_size=8), st.floats(allow_nan=False))
trees = st.dictionaries(
    st.sampled_from(["index", "query", "retain"]),
    st.one_of(
        scalars.filter(lambda value: value is None),
        st.dictionaries(
            st.sampled_from(["k", "fusion", "mode"]),
            st.dictionaries(st.sampled_from(["method", "preset", "weights"]), st.none(), max_size=3),
            max_size=3,
        ),
    ),
)


@given(trees, st.sampled_from([True, False, None]), st.integers(1, 6))
def test_everything_else_stays(tree: dict[str, object], flow: bool | None, indent: int) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, indent=indent) if tree else ""
    after = yaml.safe_load(edited(text, CHANGES))
    fusion = after["query"].pop("fusion")
    assert {name: fusion[name] for name in WANTED} == WANTED
    before = dict(tree)
    query = {k: v for k, v in (before.pop("query", None) or {}).items() if k != "fusion"}
    assert after.pop("query") == query
    assert after == before
