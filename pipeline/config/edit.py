"""Changing a few values of a configuration file and nothing else: comments, order and blank lines stay.

Pure text to text. YAML's own parser says where each value stands; the result is parsed again and must be what was
there, with exactly the wanted values changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pipeline.errors import ConfigError

Path = tuple[str, ...]


def edited(text: str, changes: Mapping[Path, Any], origin: str = "config") -> str:
    """`text` with the values at the given paths set; what is missing is added, in their order. CR LF stays.

    Raises `ConfigError` for text that cannot be changed safely (anchors, several documents).
    """
    crlf = 0 < text.count("\n") == text.count("\r\n")
    result = text.replace("\r\n", "\n") if crlf else text
    try:
        expected = _unshared(yaml.safe_load(text)) or {}
        for path, value in reversed(list(changes.items())):  # a new key is put first
            result = _set(result, path, value)
            _put(expected, path, value)
        same = (yaml.safe_load(result) or {}) == expected
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise ConfigError(f"{origin}: cannot be edited: {' '.join(str(error).split())}") from None
    if not same:
        raise ConfigError(f"{origin}: cannot be edited without changing something else; paste the lines by hand")
    return result.replace("\n", "\r\n") if crlf else result


def _set(text: str, path: Path, value: Any) -> str:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    block = isinstance(node, yaml.MappingNode) and not node.flow_style and _find(node, path[0]) is None
    if node is None or block:
        return _appended(text, path, value)
    for depth, key in enumerate(path):
        if not isinstance(node, yaml.MappingNode) or not node.value:
            return _replaced(text, node, path[depth:], value)
        child = _find(node, key)
        if child is None:
            return _inserted(text, node, path[depth:], value)
        node = child
    return _replaced(text, node, (), value)


def _find(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if name.value == key), None)


def _replaced(text: str, node: yaml.Node, rest: Path, value: Any) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    space = " " if text[:start].endswith(":") else ""
    return text[:start] + space + _flow(_nested(rest, value)) + text[end:]


def _inserted(text: str, node: yaml.MappingNode, rest: Path, value: Any) -> str:
    first = node.value[0][0].start_mark
    entry = f"{rest[0]}: {_flow(_nested(rest[1:], value))}"
    separator = ", " if node.flow_style else "\n" + " " * first.column
    return text[: first.index] + entry + separator + text[first.index :]


def _appended(text: str, path: Path, value: Any) -> str:
    body = yaml.safe_dump(_nested(path, value), sort_keys=False, allow_unicode=True)
    gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
    return text + gap + body


def _nested(rest: Sequence[str], value: Any) -> Any:
    for key in reversed(rest):
        value = {key: value}
    return value


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("...").removesuffix("\n")


def _unshared(data: Any) -> Any:
    """A copy in which an alias is a value of its own, so that a change behind its back is seen."""
    return {key: _unshared(value) for key, value in data.items()} if isinstance(data, dict) else data


def _put(data: dict[str, Any], path: Path, value: Any) -> None:
    for key in path[:-1]:
        if not isinstance(data.get(key), dict):
            data[key] = {}
        data = data[key]
    data[path[-1]] = value
