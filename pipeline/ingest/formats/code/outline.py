"""A program → Markdown: each function and class a section, its signature the heading, its code in a fence below.

What stands between them belongs to what holds them: imports to the file, fields to the class. Comments right above
a definition go with it. Every line of the program is in the text once, but for blocks of nothing but brackets.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.ingest.formats.code.grammars import CONTAINERS, DEFINITIONS, TRANSPARENT, WRAPPERS
from pipeline.ingest.formats.markup import fenced, heading

DEEPEST = 6
LONGEST_SIGNATURE = 160
SMALL = 800
"""Bytes of a class that is shown as a whole."""
_BRACKETS = frozenset("{}()[];,")
_BETWEEN = "\n\n"


@dataclass(slots=True)
class Written:
    """What is written of a program. `lines`: where in the text each of its lines begins, to the last that is there.

    A first line begins with the headings above it, one that was left out with the next that is there.
    """

    lines: list[int] = field(default_factory=list)
    _blocks: list[str] = field(default_factory=list)
    _length: int = 0

    @property
    def text(self) -> str:
        """All of it."""
        return _BETWEEN.join(self._blocks)

    def add(self, headings: Sequence[str], code: str, language: str, first: int) -> None:
        """Go on with code whose first line is the line `first` of the program, counted from 0."""
        fence = fenced(code, language)
        block = _BETWEEN.join([*headings, fence])
        begin = self._length + len(block) - len(fence) + fence.index("\n") + 1
        self.lines += [self._length] * (first + 1 - len(self.lines))
        self.lines += [begin + match.end() for match in re.finditer("\n", code)]
        self._blocks.append(block)
        self._length += len(block) + len(_BETWEEN)


@dataclass(slots=True)
class Outline:
    """Writes the program that `source` holds, of which tree-sitter made a tree; `name` is that of its file."""

    name: str
    source: bytes
    language: str
    _written: Written = field(default_factory=Written)
    _path: tuple[str, ...] = ()
    _place: int = 0
    _line: int = 0
    """Lines before `_place`, which is where one begins."""

    def write(self, root: Any) -> Written:
        """The whole program."""
        self._members(root, (), len(self.source))
        return self._written

    def _members(self, node: Any, path: tuple[str, ...], end: int) -> None:
        """What `node` holds, up to the byte `end`; the code between definitions is that of `path`."""
        for member in _definitions(node):
            if member.start_byte < self._place:
                continue  # in a line of the one before it
            self._code(path, self._line_begin(self._with_comments(member)))
            self._definition(member, path)
        self._code(path, end)

    def _definition(self, node: Any, path: tuple[str, ...]) -> None:
        inner = _unwrapped(node)
        body = inner.child_by_field_name("body")
        here = (*path, self._signature(inner, body))
        end = self._line_end(node.end_byte)
        splits = (
            inner.type in CONTAINERS and body is not None and len(here) < DEEPEST and end - node.start_byte > SMALL
        )
        if splits:
            self._members(body, here, end)
        else:
            self._code(here, end)

    def _code(self, path: tuple[str, ...], end: int) -> None:
        """The code up to the byte `end`, below the headings of `path`."""
        lines = textwrap.dedent(self.source[self._place : end].decode("utf-8", "replace"))
        code = lines.lstrip("\n")
        first, text = self._line + len(lines) - len(code), code.rstrip()
        self._line += lines.count("\n")
        self._place = max(self._place, end)
        if not set(text) - _BRACKETS - set(" \t\n"):
            return
        headings: list[str] = []
        if path != self._path:
            shared = 0
            while shared < min(len(path), len(self._path)) and path[shared] == self._path[shared]:
                shared += 1
            shared = min(shared, len(path) - 1) if path else 0
            headings = [heading(level, name) for level, name in enumerate(path or (self.name,), 1)][shared:]
            self._path = path
        self._written.add(headings, text, self.language, first)

    def _signature(self, node: Any, body: Any) -> str:
        end = body.start_byte if body is not None else node.end_byte
        text = " ".join(self.source[node.start_byte : end].decode("utf-8", "replace").split())
        text = (text if body is not None else text.partition("{")[0]).rstrip(" {:=")
        return text if len(text) <= LONGEST_SIGNATURE else text[: LONGEST_SIGNATURE - 1] + "…"

    def _with_comments(self, node: Any) -> int:
        """Where a definition begins with the comments and attributes that stand right above it."""
        begin = node
        while (before := begin.prev_sibling) is not None and (
            "comment" in before.type or before.type == "attribute_item"
        ):
            if self.source[before.end_byte : begin.start_byte].count(b"\n") > 1 or before.start_byte < self._place:
                break
            begin = before
        return int(begin.start_byte)

    def _line_begin(self, place: int) -> int:
        """Where the line of `place` begins: lines stay whole."""
        return max(self._place, self.source.rfind(b"\n", 0, place) + 1)

    def _line_end(self, place: int) -> int:
        """Where the line of `place` ends."""
        line = self.source.find(b"\n", place)
        return len(self.source) if line < 0 else line + 1


def _definitions(node: Any) -> Iterator[Any]:
    for child in node.named_children:
        if child.type in TRANSPARENT:
            yield from _definitions(child)
        elif _unwrapped(child).type in DEFINITIONS or _is_function_value(_unwrapped(child)):
            yield child


def _unwrapped(node: Any) -> Any:
    """The definition in what stands around it; the node itself if there is none."""
    while node.type in WRAPPERS:
        inner = next(
            (child for child in node.named_children if child.type in DEFINITIONS | WRAPPERS or _declares(child)),
            None,
        )
        if inner is None:
            return node
        node = inner
    return node


def _declares(node: Any) -> bool:
    return node.type in ("lexical_declaration", "variable_declaration")


def _is_function_value(node: Any) -> bool:
    """`const f = () => …`, which is how many functions of JavaScript are written."""
    if not _declares(node):
        return False
    values = [child.child_by_field_name("value") for child in node.named_children]
    return any(value is not None and value.type in ("arrow_function", "function_expression") for value in values)
