"""Cut a parsed condition into parts that each look at few combinations of values. Pure: trees in, trees out.

A chunk satisfies `a and b` where it satisfies both, `a or b` where it satisfies one; `not` goes down to the parts,
by De Morgan's laws, which hold for NULL, too. So parts may be asked alone, as long as none of them fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.query.filter.conditions import mentioned

Node = Mapping[str, Any]
Names = frozenset[str]

_AND, _OR, _NOT = "CONJUNCTION_AND", "CONJUNCTION_OR", "OPERATOR_NOT"


@dataclass(frozen=True, slots=True)
class Part:
    """A condition to be asked as it is."""

    node: Node


@dataclass(frozen=True, slots=True)
class Joint:
    """Parts of which all are to be satisfied, or any."""

    needs_all: bool
    parts: tuple[Part | Joint, ...]


def split(node: Node, are_few: Callable[[Names], bool], negated: bool = False) -> Part | Joint:
    """Cut a condition. `are_few`: whether few combinations of values can be in the columns of these names."""
    kind = node.get("type")
    if kind == _NOT:
        return split(node["children"][0], are_few, not negated)
    if kind not in (_AND, _OR) or are_few(_names(node)):
        return Part(_negated(node) if negated else node)
    groups = _groups(node, are_few)
    if len(groups) == 1:
        return Part(_negated(node) if negated else node)
    return Joint((kind == _AND) != negated, tuple(split(group, are_few, negated) for group in groups))


def _groups(node: Node, are_few: Callable[[Names], bool]) -> list[Node]:
    """The operands of a conjunction, those together that look at one column or at few combinations of values."""
    groups: list[tuple[Names, list[Node]]] = []
    for child in node["children"]:
        names = _names(child)
        for i, (others, members) in enumerate(groups):
            if (names == others and len(names) == 1) or are_few(names | others):
                groups[i] = names | others, [*members, child]
                break
        else:
            groups.append((names, [child]))
    return [
        members[0] if len(members) == 1 else {"class": node["class"], "type": node["type"], "children": members}
        for _, members in groups
    ]


def _negated(node: Node) -> Node:
    return {"class": "OPERATOR", "type": _NOT, "children": [node]}


def _names(node: Node) -> Names:
    return frozenset(mentioned(node))
