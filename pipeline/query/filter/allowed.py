"""What a condition may use, and the limits that keep its values near those of the chunks in size.

DuckDB looks at an interrupt between groups of rows alone and counts few of their values as memory: nothing
may run for long or grow without bound within one. So of the functions allowed by name, those that would multiply
in a lambda or inside one another are limited in number, too.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.query.filter.functions import (
    CLASSES,
    FUNCTIONS,
    JOINING,
    PATHS,
    REPEATING,
    SPLITTING,
    TEXT_TYPES,
    TYPES,
)

DOCUMENTED = "docs/filters.md lists what a condition may use"
_COMPREHENSION = ["filter", "result"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a condition may be and take. `depth`: of its expression; `memory`: as DuckDB reads it."""

    characters: int = 100_000
    lambda_characters: int = 2_000
    lambdas: int = 8
    joined: int = 100
    repeated: int = 4
    depth: int = 100
    memory: str = "1GB"
    seconds: float = 10.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node that a condition may not have, and why, in words that follow its place."""

    node: Mapping[str, Any]
    words: str


@dataclass(frozen=True, slots=True)
class _Spot:
    """A node and where it stands. `repeated`: how many that repeat what they hold are around it."""

    node: Mapping[str, Any]
    in_lambda: bool
    repeated: int


def refusal(
    where: Mapping[str, Any], length: int, kinds: Callable[[str], Collection[str]], limits: Limits
) -> Refusal | None:
    """The first thing in a condition that it may not use, `None` if all is allowed.

    `length`: of the condition, in characters. `kinds`: what DuckDB knows by a name (`scalar`, `aggregate`, …).
    """
    lambdas = joined = 0
    for spot in _spots(where):
        node = spot.node
        lambdas += node["class"] == "LAMBDA"
        joined += _joined(node)
        words = _forbidden(node, kinds) or _growing(node)
        if node["class"] == "LAMBDA":
            if spot.in_lambda:
                words = "no lambda inside a lambda"
            elif lambdas > limits.lambdas:
                words = (
                    f"at most {limits.lambdas} lambdas (a comprehension with `if` has three) or `->` in a condition"
                )
            elif length > limits.lambda_characters:
                words = f"with a lambda, a comprehension or `->`, at most {limits.lambda_characters:,} characters"
        elif spot.in_lambda and (_joins(node) or _name(node) in SPLITTING) and not _comprehends(node):
            words = words or "a lambda may not join or split values"
        if joined > limits.joined:
            words = words or f"a condition may join at most {limits.joined} values, constants aside"
        if _repeats(node) and spot.repeated >= limits.repeated:
            words = words or f"nested too deeply: at most {limits.repeated} of its kind inside one another"
        if words is not None:
            return Refusal(node, words if words.startswith("no ") else f"{words}; {DOCUMENTED}")
    return None


def _forbidden(node: Mapping[str, Any], kinds: Callable[[str], Collection[str]]) -> str | None:
    kind, name = node["class"], _name(node)
    if kind == "WINDOW":
        return "a condition is about one chunk at a time: no window functions"
    if kind not in CLASSES or node.get("type") == "OPERATOR_TRY":
        return "a condition may not have this"
    if kind == "TYPE" and str(node["type_name"]).casefold() not in TYPES:
        return f"a condition may not cast to {node['type_name']}"
    if kind != "FUNCTION" or name in FUNCTIONS:
        return None
    known = kinds(name)
    if "aggregate" in known:
        return "a condition is about one chunk at a time: no aggregates"
    if known:
        return f"a condition may not use the function {name}"
    close = difflib.get_close_matches(name, sorted(FUNCTIONS), n=1, cutoff=0.6)
    return f"no such function{f'; did you mean `{close[0]}`?' if close else ''}"


def _growing(node: Mapping[str, Any]) -> str | None:
    """Why a function of those that may grow with their arguments may not have these."""
    name, arguments = _name(node), _arguments(node)
    if name == "replace":
        old, new = (_text(one) for one in arguments[-2:]) if len(arguments) > 1 else (None, None)
        if old is None or new is None or len(new.encode()) > len(old.encode()):
            return "replace takes two texts in quotes, the second no longer than the first"
    if name == "regexp_replace":
        new = _text(arguments[2]) if len(arguments) > 2 and "schema" not in node else None
        if new is None or len(new) > 1:
            return "regexp_replace takes a column, a pattern and in quotes at most one character"
    if name in PATHS and (arguments[1:] or "schema" in node):
        path = _text(arguments[-1])
        if path is None or ".." in path or "**" in path:
            return f"{name} takes one path in quotes, without `..` and `**`"
    return None


def _joined(node: Mapping[str, Any]) -> int:
    return sum(one["class"] != "CONSTANT" for one in _arguments(node)) if _joins(node) else 0


def _joins(node: Mapping[str, Any]) -> bool:
    """Whether it makes one value of several. `+` joins lists, too; beside a constant it adds numbers."""
    if _name(node) == "+":
        return len(_arguments(node)) > 1 and all(one["class"] != "CONSTANT" for one in _arguments(node))
    return _name(node) in JOINING


def _repeats(node: Mapping[str, Any]) -> bool:
    """Whether a value nested in many such nodes is repeated, or its quotes escaped, again by each of them."""
    if node["class"] == "CAST":
        return any(str(one.get("type_name")).casefold() in TEXT_TYPES for one in _nested(node.get("type_expr")))
    return node["class"] == "BETWEEN" or _name(node) in REPEATING or _name(node) in PATHS


def _comprehends(node: Mapping[str, Any]) -> bool:
    """Whether it is the record of a list comprehension's condition and value, which the parser writes."""
    names = [one.get("name") for one in node.get("arguments", ())]
    return _name(node) == "struct_pack" and names == _COMPREHENSION


def _spots(where: Mapping[str, Any]) -> Iterator[_Spot]:
    """Nodes in reading order. `x = any(list)` is a subquery to the parser: `x` and the list are what is in it."""
    stack: list[tuple[Any, bool, int]] = [(where, False, 0)]
    while stack:
        part, in_lambda, repeated = stack.pop()
        if isinstance(part, dict):
            if "class" in part:
                yield _Spot(part, in_lambda, repeated)
                repeated += _repeats(part)
            if part.get("class") == "SUBQUERY":
                unnest = part["subquery"]["node"]["select_list"][0]
                inner: Any = [(part.get("child"), in_lambda), (unnest["arguments"], in_lambda)]
            elif part.get("class") == "LAMBDA":
                inner = [(part.get("lhs"), in_lambda), (part.get("expr"), True)]
            else:
                inner = [(value, in_lambda) for value in part.values()]
            stack.extend((value, within, repeated) for value, within in reversed(inner))
        elif isinstance(part, list):
            stack.extend((value, in_lambda, repeated) for value in reversed(part))


def _nested(part: Any) -> Iterator[Mapping[str, Any]]:
    return (spot.node for spot in _spots(part)) if isinstance(part, dict) else iter(())


def _name(node: Mapping[str, Any]) -> str:
    if node.get("type") == "ARRAY_CONSTRUCTOR":
        return "list_value"
    return str(node.get("function_name", "")).casefold()


def _arguments(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if node.get("type") == "ARRAY_CONSTRUCTOR":
        return list(node.get("children", ()))
    return [one.get("expression", one) for one in node.get("arguments", node.get("children", ()))]


def _text(node: Mapping[str, Any]) -> str | None:
    """What stands in quotes, `None` if anything else stands there. The parser leaves out an empty text."""
    literal = node.get("literal", {})
    return str(literal.get("text", "")) if literal.get("kind") == "STRING" else None
