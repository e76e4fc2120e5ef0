"""What is wrong with a configuration, in words: the file, the key, what is expected, and an example or the cure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.arguments import shown
from pipeline.errors import ConfigError, PipelineError

Section = TypeVar("Section", bound=BaseModel)

_EXAMPLES = {"path": "documents", "protocol": "huggingface", "query": "how do I …"}
"""Names of keys that have no default and stand first in their section."""
_SHAPES = {
    "list_type": "expected a list, such as `[a, b]` or a line `- …` for each",
    "dict_type": "expected lines `name: value`",
    "string_type": "expected a text",
    "bool_type": "expected true or false",
}


class _Loader(yaml.SafeLoader):
    """Raise `yaml.YAMLError` also for a value that its type does not have, such as the date 2024-13-01."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):
            problem = f"{shown(node.value)} is not a valid {node.tag.rpartition(':')[2]}; put a text in quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


def load_yaml(text: str) -> Any:
    """The one document of `text`. Raises `yaml.YAMLError`, also for a key that stands twice in one place."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_repeated_keys(node, set())
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=loader.get_mark()) from None
    finally:
        loader.dispose()


def _refuse_repeated_keys(node: yaml.Node, known: set[int]) -> None:
    if id(node) in known:  # an alias
        return
    known.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_repeated_keys(child, known)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"the key `{key.value}` stands twice; remove one"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
            _refuse_repeated_keys(value, known)


def nearest(name: str, known: Sequence[str], what: str = "known") -> str:
    """`did you mean …?`, or what is known if nothing is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"{what}: {', '.join(known)}"


def checked_settings(
    kind: type[Section],
    value: object,
    name: str,
    wrong: type[PipelineError] = ConfigError,
    besides: str = "",
) -> Section:
    """The argument `name`: settings of this kind, or a mapping of them. `besides`: what else may be given.

    Raises `wrong` for anything else.
    """
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        key, example = _example(kind, [])
        forms = f"{kind.__name__}, or a mapping such as {{{key!r}: {example!r}}}"
        raise wrong(f"{name}={shown(value)}: give {besides}{', ' if besides else ''}{forms}")
    try:
        return kind.model_validate(dict(value))
    except ValidationError as error:
        raise wrong(in_words(error, name, kind)) from None


def in_words(error: ValidationError, origin: str, root: type[BaseModel]) -> str:
    """All that pydantic says about `root`, on one line, as this package words it."""
    return " ".join("; ".join(_described(detail, origin, root) for detail in error.errors()).split())


def _described(detail: Any, origin: str, root: type[BaseModel]) -> str:
    location = [str(part) for part in detail["loc"]]
    key, kind = ".".join(location), detail["type"]
    if kind == "extra_forbidden":
        return f"{origin}: unknown key `{key}`; {nearest(location[-1], _keys(root, location[:-1]), 'known keys')}"
    if kind == "value_error":
        where = (
            f"{key}: " if any(part.isdigit() for part in location) else ""
        )  # an item of a list has no other name
        return f"{origin}: {where}{detail['ctx']['error']}"
    found = "nothing" if detail["input"] is None else shown(detail["input"])
    if kind == "missing":
        return f"{origin}: `{key}` is missing"
    if kind == "model_type":
        example = "{}: {}".format(*_example(root, location))
        return f"{origin}: `{key}`: expected keys and values, such as `{example}`, got {found}"
    expected = _SHAPES.get(kind) or f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"
    hint = "; remove the key to get its default" if detail["input"] is None else ""
    if kind == "literal_error" and isinstance(detail["input"], str):
        names = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        close = difflib.get_close_matches(detail["input"], names, n=1, cutoff=0.5)
        hint = f"; did you mean `{close[0]}`?" if close else ""
    return f"{origin}: `{key}`: {expected}, got {found}{hint}"


def _section(root: type[BaseModel], location: Sequence[str]) -> Any:
    """The settings class at a place of the file."""
    model: Any = root
    for part in location:
        if not part.isdigit():
            annotation = model.model_fields[part].annotation
            model = annotation.__args__[0] if getattr(annotation, "__args__", None) else annotation
    return model


def _keys(root: type[BaseModel], location: Sequence[str]) -> list[str]:
    return sorted(name for name in _section(root, location).model_fields if name != "base")


def _example(root: type[BaseModel], location: Sequence[str]) -> tuple[str, Any]:
    """The first key of a section and a value for it."""
    name, field = next(iter(_section(root, location).model_fields.items()))
    return name, _EXAMPLES.get(name, field.default)
