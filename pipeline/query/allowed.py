"""What a condition may use: functions and types by name, and the limits that keep its result near its data in size.

DuckDB looks at an interrupt and at its memory limit between groups of rows alone, so nothing may run for long or grow
without bound within one. Hence: no function whose result can be much larger than what it is given, and of what remains
nothing that multiplies when it is repeated (in a lambda, or inside itself).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DOCUMENTED = "docs/filters.md lists what a condition may use"
_OPERATORS = "+ - * / // % ^ ** & | ~ << >> @ || && @> <@ ^@ ->> ~~ !~~ ~~* !~~* ~~~"
_LIKE = "like_escape not_like_escape ilike_escape not_ilike_escape"
_NUMBERS = """abs acos asin atan atan2 cbrt ceil ceiling cos cot degrees even exp fdiv floor gcd
    greatest_common_divisor isfinite isinf isnan lcm least_common_multiple ln log log10 log2 mod pi pow power
    radians round round_even sign signbit sin sqrt tan trunc xor bit_count"""
_TEXTS = """ascii char_length character_length chr concat contains ends_with format_bytes instr lcase left
    left_grapheme len length length_grapheme lower ltrim nfc_normalize ord position prefix replace reverse right
    right_grapheme rtrim split split_part starts_with str_split string_split string_to_array strip_accents strlen strpos
    substr substring substring_grapheme suffix translate trim ucase unicode upper hash md5"""
_EXPRESSIONS = """regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    regexp_split_to_array str_split_regex string_split_regex"""
_LISTS = """apply filter array_append array_apply array_cat array_concat array_contains array_distinct array_extract
    array_filter array_has array_has_all array_has_any array_indexof array_intersect array_length array_position
    array_prepend array_reverse array_reverse_sort array_slice array_sort array_transform array_unique list_any_value
    list_append list_apply list_avg list_bool_and list_bool_or list_cat list_concat list_contains list_count
    list_distinct list_element list_extract list_filter list_first list_has list_has_all list_has_any list_indexof
    list_intersect list_last list_max list_min list_pack list_position list_prepend list_reverse list_reverse_sort
    list_slice list_sort list_sum list_transform list_unique list_value"""
_RECORDS = """cardinality element_at map map_contains map_extract map_extract_value map_keys map_values row
    struct_contains struct_extract struct_extract_at struct_has struct_pack"""
_DATES = """age century current_date current_localtime current_localtimestamp date_add date_diff date_part date_sub
    date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade epoch
    epoch_ms epoch_ns epoch_us era get_current_time get_current_timestamp hour isodow isoyear julian last_day make_date
    make_time make_timestamp microsecond millennium millisecond minute month monthname nanosecond now quarter second
    strftime strptime time_bucket timezone to_centuries to_days to_decades to_hours to_microseconds to_millennia
    to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years today
    transaction_timestamp try_strptime week weekday weekofyear year yearweek"""
_JSON = """json_array_length json_contains json_exists json_extract json_extract_path json_extract_path_text
    json_extract_string json_keys json_type json_valid json_value"""
_CHOICES = "greatest if least nullif typeof"
FUNCTIONS = frozenset(
    " ".join((_OPERATORS, _LIKE, _NUMBERS, _TEXTS, _EXPRESSIONS, _LISTS, _RECORDS, _DATES, _JSON, _CHOICES)).split()
)
TYPES = frozenset(
    """boolean bool logical tinyint smallint integer bigint hugeint utinyint usmallint uinteger ubigint uhugeint int1
    int2 int4 int8 int16 int32 int64 int128 int integral short long signed oid float real float4 float8 double decimal
    numeric dec varchar char bpchar text string nvarchar date time timetz timestamp timestamptz datetime timestamp_s
    timestamp_ms timestamp_ns timestamp_us interval uuid guid json list""".split()
) | {"time with time zone", "timestamp with time zone", "double precision"}
_CLASSES = frozenset(
    "COMPARISON CONJUNCTION FUNCTION CONSTANT COLUMN_REF CAST TYPE OPERATOR BETWEEN CASE COLLATE LAMBDA SUBQUERY".split()
)
_TEXT_TYPES = frozenset("varchar char bpchar text string nvarchar json".split())
_MAKING = frozenset("list_value list_pack struct_pack row map".split())
_JOINING = _MAKING | frozenset(
    "|| concat list_concat list_cat array_concat array_cat list_append array_append list_prepend array_prepend".split()
)
_SPLITTING = frozenset(
    "split str_split string_split string_to_array split_part str_split_regex string_split_regex regexp_split_to_array "
    "regexp_extract_all".split()
)
_REPEATING = _MAKING | _SPLITTING | {"nullif", "regexp_replace"}
_PATHS = frozenset(name for name in _JSON.split() if name != "json_contains") | {"->>"}
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


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node that a condition may not have, and why, in words that follow its place."""

    node: Mapping[str, Any]
    words: str


@dataclass(frozen=True, slots=True)
class _Spot:
    """A node and where it stands. `repeated`: how many constructs of those that repeat what they hold are around it."""

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
        elif spot.in_lambda and (_joins(node) or _name(node) in _SPLITTING) and not _comprehends(node):
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
    if kind not in _CLASSES or node.get("type") == "OPERATOR_TRY":
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
    close = difflib.get_close_matches(name, sorted(FUNCTIONS), n=1, cutoff=0.5)
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
    if name in _PATHS and (arguments[1:] or "schema" in node):
        path = _text(arguments[-1])
        if path is None or ".." in path or "**" in path:
            return f"{name} takes one path in quotes, without `..` and `**`"
    return None


def _joined(node: Mapping[str, Any]) -> int:
    return sum(one["class"] != "CONSTANT" for one in _arguments(node)) if _joins(node) else 0


def _joins(node: Mapping[str, Any]) -> bool:
    """Whether it makes one value of several. `+` joins lists, too, which cannot be seen unless one is a constant."""
    if _name(node) == "+":
        return len(_arguments(node)) > 1 and all(one["class"] != "CONSTANT" for one in _arguments(node))
    return _name(node) in _JOINING


def _repeats(node: Mapping[str, Any]) -> bool:
    """Whether a value nested in many such nodes is repeated, or its quotes escaped, again by each of them."""
    if node["class"] == "CAST":
        return any(str(one.get("type_name")).casefold() in _TEXT_TYPES for one in _nested(node.get("type_expr")))
    return node["class"] == "BETWEEN" or _name(node) in _REPEATING or _name(node) in _PATHS


def _comprehends(node: Mapping[str, Any]) -> bool:
    """Whether it is the record of a list comprehension's condition and value, which the parser writes."""
    names = [one.get("name") for one in node.get("arguments", ())]
    return _name(node) == "struct_pack" and names == _COMPREHENSION


def _spots(where: Mapping[str, Any]) -> Iterator[_Spot]:
    """Nodes in reading order; of `x = any(list)`, which the parser makes a subquery, those of `x` and of the list."""
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
