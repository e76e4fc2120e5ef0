"""The text of a `pre`, in which line breaks count, whichever elements a highlighter makes them of."""

from __future__ import annotations

from pipeline.ingest.formats.html.tree import Node

_LINES = frozenset({"div", "p", "li", "tr"})


def code_text(pre: Node) -> str:
    """Its lines. Two `code` elements and nothing else are two pieces of code, below each other."""
    children = [child for child in pre.children if isinstance(child, Node) or child.strip()]
    pieces = [_text(child).strip("\n") for child in children if isinstance(child, Node) and child.tag == "code"]
    if len(pieces) == len(children) > 1:
        return ("\n\n" if any("\n" in piece for piece in pieces) else "\n").join(pieces)
    return _text(pre).strip("\n").rstrip()


def _text(node: Node) -> str:
    """All text; what is drawn as a line of its own is one."""
    pieces: list[str] = []
    _add(node, pieces)
    return "".join(pieces)


def _add(node: Node, pieces: list[str]) -> None:
    behind_line = False
    for child in node.children:
        is_line = isinstance(child, Node) and child.tag in _LINES
        if isinstance(child, str):
            if child and not (behind_line and child.isspace()):
                pieces.append(child)
        elif child.tag == "br":
            pieces.append("\n")
        elif is_line:
            if pieces and not pieces[-1].endswith("\n"):
                pieces.append("\n")
            before = len(pieces)
            _add(child, pieces)
            if len(pieces) == before or not pieces[-1].endswith("\n"):
                pieces.append("\n")
        else:
            _add(child, pieces)
        behind_line = is_line
