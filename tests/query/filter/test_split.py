"""A condition in parts is true of what the whole is true of, NULL included, and parts look at few combinations."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.query.filter.split import Joint, Names, Part, split

COLUMNS = ("a", "b", "c")
Node = Mapping[str, Any]


def column(*names: str) -> Node:
    """A truth value that depends on some columns: true if all are, NULL if one is."""
    if len(names) == 1:
        return {"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": list(names)}
    return {"class": "FUNCTION", "type": "FUNCTION", "arguments": [column(name) for name in names]}


def joined(kind: str, *children: Node) -> Node:
    return {"class": "CONJUNCTION", "type": f"CONJUNCTION_{kind}", "children": list(children)}


def negated(child: Node) -> Node:
    return {"class": "OPERATOR", "type": "OPERATOR_NOT", "children": [child]}


def value(node: Node, row: Mapping[str, bool | None]) -> bool | None:
    """SQL's three-valued logic."""
    if node["class"] == "COLUMN_REF":
        return row[node["column_names"][0]]
    inner = [value(child, row) for child in node.get("children", node.get("arguments", ()))]
    if node["type"] == "OPERATOR_NOT":
        return None if inner[0] is None else not inner[0]
    decides = node["type"] == "CONJUNCTION_OR"
    if decides in inner and node["class"] == "CONJUNCTION":
        return decides
    return None if None in inner else all(inner) if node["class"] == "FUNCTION" else not decides


def is_true(plan: Part | Joint, row: Mapping[str, bool | None]) -> bool:
    if isinstance(plan, Part):
        return value(plan.node, row) is True
    found = [is_true(part, row) for part in plan.parts]
    return all(found) if plan.needs_all else any(found)


def parts(plan: Part | Joint) -> list[Node]:
    return [plan.node] if isinstance(plan, Part) else [node for part in plan.parts for node in parts(part)]


def at_most(count: int) -> Any:
    def are_few(names: Names) -> bool:
        return len(names) <= count

    return are_few


leaves = st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=2, unique=True).map(lambda names: column(*names))
trees = st.recursive(
    leaves,
    lambda inner: (
        st.builds(joined, st.sampled_from(["AND", "OR"]), inner, inner)
        | st.builds(joined, st.sampled_from(["AND", "OR"]), inner, inner, inner)
        | inner.map(negated)
    ),
    max_leaves=8,
)


@given(trees, st.integers(0, 3))
def test_the_parts_are_true_together_of_what_the_whole_is_true_of(tree: Node, few: int) -> None:
    plan = split(tree, at_most(few))
    for values in itertools.product((True, False, None), repeat=len(COLUMNS)):
        row = dict(zip(COLUMNS, values, strict=True))
        assert is_true(plan, row) is (value(tree, row) is True)


def test_few_combinations_are_asked_as_a_whole() -> None:
    tree = negated(joined("AND", column("a"), column("b")))
    assert split(tree, at_most(2)) == Part(tree)


def test_columns_that_are_too_many_together_are_asked_alone() -> None:
    tree = joined("OR", column("a"), negated(column("b")), column("a"), column("c"))
    plan = split(tree, at_most(1))
    assert plan == Joint(
        False, (Part(joined("OR", column("a"), column("a"))), Part(negated(column("b"))), Part(column("c")))
    )


@pytest.mark.parametrize(("kind", "needs_all"), [("AND", False), ("OR", True)])
def test_not_goes_down_to_the_parts(kind: str, needs_all: bool) -> None:
    plan = split(negated(joined(kind, column("a"), column("b"))), at_most(1))
    assert plan == Joint(needs_all, (Part(negated(column("a"))), Part(negated(column("b")))))


def test_what_cannot_be_cut_stays_whole() -> None:
    tree = joined("AND", column("a", "b"), column("b", "c"))
    assert [node["class"] for node in parts(split(tree, at_most(1)))] == ["FUNCTION", "FUNCTION"]
    assert split(column("a", "b", "c"), at_most(1)) == Part(column("a", "b", "c"))
