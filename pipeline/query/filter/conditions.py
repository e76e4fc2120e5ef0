"""What a filter's condition may be, and plain words for what is wrong with it. Pure: a parser's tree in, words out.

A condition is about the columns of one chunk: no subqueries, no other tables, one expression. Its tree is that of
`true` in the same statement but for the condition itself, so nothing can follow it or close its parenthesis early.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from pipeline.query.filter.allowed import DOCUMENTED, Limits, refusal
from pipeline.query.filter.functions import CLOCKS
from pipeline.query.fusion.methods import unknown

TABLE, ROW = "chunks", "__row"
_BEFORE, _AFTER = f"SELECT {ROW} FROM {TABLE} WHERE (\n", "\n)"
_TOKEN = re.compile(r"--.*|'(?:[^']|'')*'?|\"[^\"]*\"?|\w+|\S")
_LONGEST_PIECE = 40
_SPACES = {"Zs", "Zl", "Zp", "Cf"}
_ONE = "give one condition, not several statements"
_TYPES = {
    "VARCHAR": "text",
    "STRING_LITERAL": "text",
    "BIGINT": "whole number",
    "INTEGER": "whole number",
    "INT64": "whole number",
    "INT32": "whole number",
    "INTEGER_LITERAL": "whole number",
    "DOUBLE": "number",
    "BOOLEAN": "truth value",
    "BOOL": "truth value",
}
_TYPE = re.compile(rf"\b({'|'.join(_TYPES)})\b(\[\])?")
TOO_DEEP = f"parentheses, functions or operators are nested too deeply; {DOCUMENTED}"
_NUMBER = r"(?:INTEGER|BIGINT|DOUBLE|DECIMAL|\w+_LITERAL)"
_CLEARER = (
    (
        re.compile(r"Type VARCHAR with value .* to the destination type VARCHAR\[\]"),
        "a list is no text; ask whether it has one by list_contains(field, 'text')",
    ),
    (
        re.compile(r"Unimplemented type for cast \(\w+ -> VARCHAR\[\]\)"),
        "a list is no value; ask whether it has one by list_contains(field, 'text')",
    ),
    (
        re.compile(r"Cannot deduce template type .* function: '(\w+)\("),
        "{0} cannot be asked with values of these types",
    ),
    (
        re.compile(rf"Cannot compare values of type (?:VARCHAR and type {_NUMBER}|{_NUMBER} and type VARCHAR)\b"),
        "a text is compared with a text, which stands in single quotes",
    ),
    (re.compile(r'Referenced table "(.*)" not found'), "a field is named alone, without `{0}.`"),
)
"""DuckDB's words for what is written most often in place of a condition, and ours, which say what to write."""
_NOT_HERE = {
    "SUBQUERY": "a condition is about the chunk's own columns: no subqueries",
    "STAR": "name the columns one by one",
    "PARAMETER": "write the value itself",
}


def statement(condition: str) -> str:
    """The query for the numbers of the chunks that satisfy a condition, which may end in a comment."""
    return f"{_BEFORE}{condition}{_AFTER}"


def unreadable(condition: str, limits: Limits) -> str | None:
    """Why a condition is not even parsed, `None` if it may be."""
    if len(condition) > limits.characters:
        return f"the condition has {len(condition):,} characters; at most {limits.characters:,} are allowed"
    if any("\ud800" <= one <= "\udfff" for one in condition):
        return "the condition is not valid Unicode: it has half a character"
    return None


def simple_case(condition: str, tokens: Sequence[tuple[int, str]]) -> str | None:
    """Why a condition is not even parsed: the parser writes the `x` of `case x when …` once for every `when`.

    `tokens`: where each starts, in bytes of UTF-8, and its text; comments left out. A space that is not ASCII is a
    space to the parser and a letter to the tokenizer.
    """
    following = [text for _, text in tokens[1:]] + [""]
    for (start, text), after in zip(tokens, following, strict=True):
        words = None
        if text.lower() == "case" and after.lower() != "when":
            words = "write `case when x = … then …` instead"
        elif not text.startswith("'") and any(unicodedata.category(one) in _SPACES for one in text):
            words = "with `case`, write ordinary spaces"
        if words is not None:
            return _placed(start + len(_BEFORE.encode()), len(text.encode()), condition, words)
    return None


def objection(
    tree: Mapping[str, Any],
    plain: Mapping[str, Any],
    condition: str,
    names: Sequence[str],
    kinds: Callable[[str], Collection[str]],
    limits: Limits,
) -> str | None:
    """Why a parsed statement is no condition on `names`, `None` if it is one.

    `plain`: the tree for `true`. `kinds`: what DuckDB knows by a function's name (`scalar`, `aggregate`, …).
    """
    if tree["error"]:
        return described(tree, condition, names)
    where = where_of(tree)
    for node in _nodes(where):
        kind, place, length = node.get("class"), node.get("query_location"), node.get("query_location_length", 0)
        if kind == "COLUMN_REF" and str(node["column_names"][-1]).casefold() == ROW:
            return _placed(place, length, condition, unknown("column", ROW, names))
        if kind in _NOT_HERE and not (kind == "SUBQUERY" and _is_list(node)):
            return _placed(place, length, condition, _NOT_HERE[kind])
    if where is None or _without_where(tree) != _without_where(plain):
        return _ONE
    if where.get("function_name") == "row" and where["query_location"] < len(_BEFORE.encode()):
        known = ", ".join(names)
        empty = not where.get("arguments")
        return f"the condition is empty (columns: {known})" if empty else "join conditions by `and` or `or`"
    refused = refusal(where, len(condition), kinds, limits)
    if refused is not None:
        place, length = refused.node.get("query_location"), refused.node.get("query_location_length", 0)
        return _placed(place, length, condition, refused.words)
    closing = _closes_nothing(condition)
    return None if closing is None else f"at character {closing + 1}, `)`: closes nothing"


def where_of(tree: Mapping[str, Any]) -> dict[str, Any] | None:
    """The condition in a parsed statement, `None` if it is not one statement with a condition."""
    statements = tree["statements"]
    found: dict[str, Any] | None = statements[0]["node"].get("where_clause") if len(statements) == 1 else None
    return found


def with_where(tree: Mapping[str, Any], where: Mapping[str, Any]) -> dict[str, Any]:
    """The parsed statement with another condition."""
    (one,) = tree["statements"]
    return {**tree, "statements": [{**one, "node": {**one["node"], "where_clause": where}}]}


def mentioned(node: Mapping[str, Any]) -> set[str]:
    """In lower case, every name in a parsed condition that may be a column's, or the table's for all of them.

    In `lang.lower()`, `lang` is a schema to the parser; in `chunks.lang`, the table is no more than a prefix.
    """
    found: set[str] = set()
    for inner in _nodes(node):
        path = [str(name).lower() for name in inner.get("column_names", ())]
        if inner.get("class") == "FUNCTION":
            path = [str(inner[key]).lower() for key in ("catalog", "schema") if key in inner]
            path += [str(name).lower() for name in inner.get("qualified_name", {}).get("path", ())[:-1]]
        found.update(name for name in path[:-1] if name != TABLE)
        found.update(path[-1:])
    return found


def is_timeless(node: Mapping[str, Any]) -> bool:
    """Whether a parsed condition says the same of a chunk tomorrow."""
    functions = {str(inner["function_name"]).casefold() for inner in _nodes(node) if "function_name" in inner}
    return not CLOCKS & (functions | mentioned(node))


_PLAIN = {"COMPARISON", "CONJUNCTION", "CONSTANT", "COLUMN_REF", "BETWEEN", "OPERATOR"}


def is_plain(node: Mapping[str, Any]) -> bool:
    """Whether a parsed condition only compares: that takes no time worth stopping, and makes no values."""
    return all(inner.get("class", "COLUMN_REF") in _PLAIN for inner in _nodes(node))


def described(detail: Mapping[str, Any], condition: str, names: Sequence[str]) -> str:
    """An error of the parser, the binder or a conversion: where in the condition, its piece there, and why."""
    place = detail.get("position")
    length = re.search(r",(\d+)\]", str(detail.get("location", "")))
    words = _words(detail, names)
    return _placed(None if place is None else int(place), int(length[1]) if length else 0, condition, words)


def _words(detail: Mapping[str, Any], names: Sequence[str]) -> str:
    message = str(detail.get("exception_message", detail.get("error_message", "")))
    known, name = f" (columns: {', '.join(names)})", str(detail.get("name", ""))
    first = message.strip().split("\n")[0]
    match detail.get("error_subtype"):
        case "COLUMN_NOT_FOUND":
            words = unknown("column", name, names)
            return words if "did you mean" in words else f"{words}; a text stands in single quotes: '{name}'"
        case "NO_MATCHING_FUNCTION":
            types = re.search(r"\((.*)\)", str(detail.get("call", "")))
            return f"cannot be done with {_in_words(types[1]) if types else 'these types'}{known}"
        case "MISSING_ENTRY":
            close = str(detail.get("candidates", "")).split(",")[0]
            return f"no such function{f'; did you mean `{close}`?' if close else ''}"
    if first.endswith('at or near ";"'):
        return _ONE
    if first.startswith("syntax error"):
        return f"not expected here{known}"
    for pattern, told in _CLEARER:
        if (found := pattern.match(first)) is not None:
            return f"{told.format(*found.groups())}{known}"
    if first.startswith("Max expression depth"):
        return TOO_DEEP
    if first.startswith("WHERE clause cannot contain"):
        what = first.removeprefix("WHERE clause cannot contain").strip(" !")
        return f"a condition is about one chunk at a time: no {what}"
    if detail.get("error_type", "parser") != "parser":
        return _ONE
    first = _in_words(first.split(" at or near")[0])
    return f"{first[:1].lower()}{first[1:200]}{known}"


def _in_words(text: str) -> str:
    return _TYPE.sub(lambda found: f"list of {_TYPES[found[1]]}s" if found[2] else _TYPES[found[1]], text)


def _placed(place: int | None, length: int, condition: str, words: str) -> str:
    """`at character 12, `and`: …`. `place` and `length`: in the statement, bytes of UTF-8, as the parser counts."""
    if place is None:
        return words
    start = place - len(_BEFORE.encode())
    data = condition.encode()
    if start >= len(data):
        tokens = [token for token in _TOKEN.finditer(condition) if not token[0].startswith("--")]
        for token in tokens:
            if token[0] == ";":
                return f"at character {token.start() + 1}, `;`: {_ONE}"
        last = tokens[-1]
        return f"at character {last.start() + 1}, `{_short(last[0])}`: the condition ends too early"
    start = max(start, 0)
    column = len(data[:start].decode(errors="ignore"))
    found = _TOKEN.match(condition, column)
    piece = data[start : start + length].decode(errors="ignore") if length else found[0] if found else ""
    return f"at character {column + 1}, `{_short(piece)}`: {words}"


def _closes_nothing(condition: str) -> int | None:
    """Where a parenthesis closes that the condition did not open, `None` if none does."""
    depth = 0
    for token in _TOKEN.finditer(condition):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth < 0:
            return token.start()
    return None


def _short(piece: str) -> str:
    folded = " ".join(piece.split())
    return folded if len(folded) <= _LONGEST_PIECE else folded[:_LONGEST_PIECE] + "…"


def _without_where(tree: Mapping[str, Any]) -> Any:
    return [
        {**one, "node": {key: value for key, value in one["node"].items() if key != "where_clause"}}
        for one in tree["statements"]
    ]


def _is_list(node: Mapping[str, Any]) -> bool:
    """`'x' = any(tags)`: the parser makes a subquery of a list, without a table or anything else."""
    inner = node["subquery"]["node"]
    others = {key for key, value in inner.items() if value} - {
        "type",
        "select_list",
        "from_table",
        "aggregate_handling",
    }
    return (
        node.get("subquery_type") == "ANY"
        and not others
        and inner.get("from_table", {"type": "EMPTY"}) == {"type": "EMPTY"}
        and [one.get("function_name") for one in inner.get("select_list", [])] == ["unnest"]
    )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    stack = [tree]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            yield part
        children = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        stack.extend(reversed(list(children)))
