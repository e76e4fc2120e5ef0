"""Tags → a tree, as forgiving as pages need: tags that nobody closed end where their kind does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

DEEPEST = 200
"""Elements deeper than this are taken for what is around them."""

_VOID = "area base br col embed hr img input link meta param source track wbr"
VOID = frozenset(_VOID.split())
_CELLS = frozenset({"td", "th"})
_PARTS = frozenset({"thead", "tbody", "tfoot"})
_FRAME = _PARTS | {"table", "tr"}
_IN_FRAME = (
    _FRAME - {"table"} | _CELLS | {"caption", "colgroup", "col", "form", "input", "script", "style", "template"}
)
_BLOCK = """
address article aside blockquote center details dialog dd div dl dt fieldset figcaption figure footer form h1 h2 h3
h4 h5 h6 header hgroup hr li main menu nav ol p pre section summary table ul
"""
_BLOCKS = frozenset(_BLOCK.split())
_ENDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "li": (frozenset({"li"}), frozenset({"ul", "ol", "menu"})),
    "dt": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "dd": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "option": (frozenset({"option"}), frozenset({"select"})),
    "td": (_CELLS, frozenset({"tr", "table"})),
    "th": (_CELLS, frozenset({"tr", "table"})),
    "tr": (_CELLS | {"tr"}, frozenset({"table", *_PARTS})),
    **dict.fromkeys(_PARTS, (_CELLS | {"tr"} | _PARTS, frozenset({"table"}))),
}
"""What an opening tag ends, and what it does not look beyond."""
_WALLS = frozenset({"td", "th", "table", "body", "html"})
"""A closing tag of another kind ends nothing beyond these."""


@dataclass(slots=True)
class Node:
    """An element; `children` are elements and texts in order."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    def elements(self) -> Iterator[Node]:
        """This one and all below, in the order of the page."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += [child for child in reversed(node.children) if isinstance(child, Node)]

    def text(self) -> str:
        """All text below."""
        found: list[str] = []
        waiting: list[Node | str] = [self]
        while waiting:
            node = waiting.pop()
            if isinstance(node, str):
                found.append(node)
            else:
                waiting += reversed(node.children)
        return "".join(found)

    def words(self) -> set[str]:
        """The words of its class and id, lower-case."""
        return set(f"{self.attributes.get('class', '')} {self.attributes.get('id', '')}".lower().split())


def parse(page: str) -> Node:
    """The tree of a page or a part of one. Never raises for what stands in it."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    return builder.root


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _ENDS:
            ended, walls = _ENDS[tag]
            self._end(ended, walls)
        elif tag in _BLOCKS:
            self._end(frozenset({"p"}), _WALLS | {"li", "dd", "div", "section", "article"})
        if tag in _CELLS and self._open[-1].tag in _FRAME - {"tr"}:
            self.handle_starttag("tr", [])
        node = Node(tag, {name: value or "" for name, value in reversed(attrs)})
        self._place(node)
        if tag not in VOID and len(self._open) < DEEPEST:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID and self._open[-1].tag == tag:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        walls: frozenset[str] = frozenset() if tag in ("table", "body", "html", *_CELLS, "tr", *_PARTS) else _WALLS
        for place in range(len(self._open) - 1, 0, -1):
            if self._open[place].tag == tag:
                del self._open[place:]
                return
            if self._open[place].tag in walls:
                return

    def handle_data(self, data: str) -> None:
        self._place(data)

    def unknown_decl(self, data: str) -> None:
        if data.startswith("CDATA["):
            self._place(data[6:])

    def _place(self, child: Node | str) -> None:
        """What may not stand between the rows and cells of a table goes before it, as browsers have it."""
        here = self._open[-1]
        stray = child.strip() != "" if isinstance(child, str) else child.tag not in _IN_FRAME
        if here.tag in _FRAME and stray:
            around = next(node for node in reversed(self._open) if node.tag not in _FRAME)
            around.children.insert(-1, child)
            return
        here.children.append(child)

    def _end(self, ended: frozenset[str], walls: frozenset[str]) -> None:
        """Close the innermost open elements up to the outermost of these kinds within the walls."""
        last = None
        for place in range(len(self._open) - 1, 0, -1):
            tag = self._open[place].tag
            if tag in walls:
                break
            if tag in ended:
                last = place
        if last is not None:
            del self._open[last:]
