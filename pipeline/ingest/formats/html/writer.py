"""A tree → Markdown: headings, paragraphs, lists, tables, code, quotes; links with their whole address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from pipeline.ingest.formats.fields import oversize
from pipeline.ingest.formats.html.tree import Node
from pipeline.ingest.formats.html.verbatim import code_text
from pipeline.ingest.formats.markup import escaped, fenced, heading, table_as_markdown

_INLINES = """
a abbr acronym b bdi bdo big br cite code data del dfn em font i img ins kbd label mark nobr output q rb rp rt ruby
s samp small span strike strong sub sup time tt u var wbr
"""
_INLINE = frozenset(_INLINES.split())
_CODE = frozenset({"code", "kbd", "samp", "tt"})
_MARKS = {"b": "**", "strong": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"}
_SPACE = re.compile(r"[ \t\n\r\f\v]+")
_LANGUAGE = re.compile(r"(?:lang(?:uage)?|highlight|brush|source)[-:_ ]+([A-Za-z0-9+#.]+)")
_ANCHORS = frozenset("#¶§🔗")
"""What a heading shows as a link to itself."""
MOST_ACROSS = 200
MOST_REPEATED = 200
"""A cell over several rows is repeated in them if its text is no longer."""
_WEB = ("http", "https", "ftp", "mailto", "")


@dataclass(slots=True)
class Writer:
    """Writes parts of a page. `base`: its own address, which relative links are meant from; empty if not known."""

    limit: int
    base: str = ""
    links: bool = True
    _taken: int = 0

    def write(self, node: Node) -> str:
        """The Markdown of all in an element. Raises `UnreadableError` if it is more than `limit` bytes."""
        return "\n\n".join(self._blocks(node))

    def _blocks(self, node: Node) -> list[str]:
        """The blocks in an element, each without an empty line around it."""
        found: list[str] = []
        line: list[Node | str] = []

        def end_line() -> None:
            if text := self._paragraph(line):
                found.append(self._counted(text))
            line.clear()

        for child in node.children:
            if isinstance(child, str) or (child.tag in _INLINE and not _holds_blocks(child)):
                line.append(child)
            else:
                end_line()
                found += self._block(child)
        end_line()
        return found

    def _block(self, node: Node) -> list[str]:
        tag = node.tag
        if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            title = self._paragraph(node.children, marks=False)
            return [self._counted(heading(int(tag[1]), title))] if title.strip() else []
        if tag == "pre":
            code = code_text(node)
            return [self._counted(fenced(code, _language(node)))] if code.strip() else []
        if tag in ("ul", "ol", "menu", "dir"):
            return self._list(node, tag == "ol")
        if tag == "dl":
            return self._definitions(node)
        if tag == "table":
            return self._table(node)
        if tag == "blockquote":
            inner = "\n\n".join(self._blocks(node))
            return ["\n".join(f"> {line}".rstrip() for line in inner.split("\n"))] if inner else []
        if tag == "hr":
            return ["---"]
        return self._blocks(node)

    def _list(self, node: Node, numbered: bool) -> list[str]:
        items: list[str] = []
        for child in node.children:
            blocks = self._blocks(child if isinstance(child, Node) and child.tag == "li" else Node("", {}, [child]))
            if blocks:
                mark = f"{len(items) + 1}. " if numbered else "- "
                inner = "\n".join(blocks) if all("\n" not in block for block in blocks) else "\n\n".join(blocks)
                items.append(mark + inner.replace("\n", "\n" + " " * len(mark)))
        return ["\n".join(line if line.strip() else "" for line in "\n".join(items).split("\n"))] if items else []

    def _definitions(self, node: Node) -> list[str]:
        found: list[str] = []
        for child in node.children:
            is_term = isinstance(child, Node) and child.tag == "dt"
            blocks = self._blocks(Node("", {}, [_not_bold(child) if is_term else child]))
            found += [f"**{blocks[0]}**"] if is_term and len(blocks) == 1 and "\n" not in blocks[0] else blocks
        return found

    def _table(self, node: Node) -> list[str]:
        """A table; one of a single row or column, or around other blocks, is a layout: its blocks in order."""
        rows = list(_own(node, "tr"))
        cells = [[cell for cell in row.children if isinstance(cell, Node)] for row in rows]
        if _is_beside_a_picture(cells):
            cells[0].pop(0)
        width = max((len(row) for row in cells), default=0)
        nested = any(below.tag in ("table", "pre", "h1", "h2", "h3") for below in list(node.elements())[1:])
        captions = [text for below in _own(node, "caption") if (text := self._paragraph(below.children))]
        if width < 2 or len(rows) < 2 or nested:
            return captions + [block for row in cells for cell in row for block in self._blocks(cell)]
        texts = [[(cell, " ".join(" ".join(self._blocks(cell)).split())) for cell in row] for row in cells]
        written: list[list[str]] = []
        taken = 0
        for spread in _spread(texts):
            taken += sum(map(len, spread))
            if taken > self.limit:
                raise oversize(self.limit)
            if any(spread):
                written.append(spread)
        return captions + ([self._counted(_as_table(written))] if written else [])

    def _paragraph(self, nodes: list[Node | str], marks: bool = True) -> str:
        text = _SPACE.sub(" ", "".join(self._inline(node, marks) for node in nodes)).strip()
        lines = [line.strip() for line in text.split("\0")]
        return escaped("\n".join(line for line in lines if line)) if text.strip("\0 ") else ""

    def _inline(self, node: Node | str, marks: bool) -> str:
        if isinstance(node, str):
            return node.replace("\0", " ")
        if node.tag == "br":
            return "\0"
        if node.tag == "img":
            return f" {node.attributes.get('alt', '')} " if node.attributes.get("alt", "").strip() else ""
        if node.tag in ("wbr", "rp", "rt") or _is_anchor(node) or "classifier-delimiter" in node.words():
            return ""
        inner = "".join(self._inline(child, marks) for child in node.children)
        if node.tag == "span" and "classifier" in node.words():
            return f" : {inner}"  # the type of a parameter; the colon is drawn by a style
        core = inner.strip()
        if not core or not marks or "\0" in core:
            return inner
        before, after = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
        if node.tag in _CODE:
            return f"{before}`{core}`{after}" if "`" not in core else inner
        if node.tag in _MARKS:
            mark = _MARKS[node.tag]
            return f"{before}{mark}{core}{mark}{after}" if mark[0] not in core else inner
        if node.tag == "a" and self.links:
            address = self._address(node.attributes.get("href", ""))
            return f"{before}[{core}]({address}){after}" if address and core != address else inner
        return inner

    def _address(self, href: str) -> str:
        """The whole address of a link; empty for one within the page, or to nothing that can be opened."""
        href = re.sub(r"[\t\n\r\f\0]", "", href).strip().replace(" ", "%20")
        if not href or href.startswith("#"):
            return ""
        try:
            whole = urljoin(self.base, href) if self.base else href
            parts = urlsplit(whole)
        except ValueError:
            return ""
        return whole.replace("(", "%28").replace(")", "%29") if parts.scheme in _WEB else ""

    def _counted(self, part: str) -> str:
        self._taken += len(part.encode("utf-8", "replace")) + 2
        if self._taken > self.limit:
            raise oversize(self.limit)
        return part


def _holds_blocks(node: Node) -> bool:
    return any(below.tag not in _INLINE for below in node.elements())


def _is_anchor(node: Node) -> bool:
    """Whether it is a link within the page that readers see as a sign beside a heading."""
    return node.tag == "a" and node.attributes.get("href", "")[:1] == "#" and node.text().strip() in _ANCHORS


def _not_bold(node: Node | str) -> Node | str:
    """A copy without bold type: what is bold as a whole has no bold parts."""
    if isinstance(node, str):
        return node
    tag = "span" if node.tag in ("b", "strong") else node.tag
    return Node(tag, node.attributes, [_not_bold(child) for child in node.children])


def _is_beside_a_picture(cells: list[list[Node]]) -> bool:
    """Whether a table only puts text beside a picture, as DocBook does with notes."""
    if len(cells) < 2 or [len(row) for row in cells] != [2, *[1] * (len(cells) - 1)]:
        return False
    first = cells[0][0]
    return not first.text().strip() and any(below.tag == "img" for below in first.elements())


def _own(table: Node, tag: str) -> list[Node]:
    """Elements of a table that are not of one in it."""
    found: list[Node] = []
    waiting = [child for child in table.children if isinstance(child, Node)][::-1]
    while waiting:
        node = waiting.pop()
        if node.tag == tag:
            found.append(node)
        elif node.tag != "table":
            waiting += [child for child in node.children if isinstance(child, Node)][::-1]
    return found


def _spread(rows: list[list[tuple[Node, str]]]) -> Iterator[list[str]]:
    """A cell over several columns stands in the first, with empty ones after it; one over several rows in each."""
    held: dict[int, tuple[int, str]] = {}
    for row in rows:
        texts: list[str] = []
        for cell, text in row:
            _take_held(texts, held)
            across, down = _span(cell, "colspan", MOST_ACROSS), _span(cell, "rowspan", len(rows))
            below = [text if len(text) <= MOST_REPEATED else "", *[""] * (across - 1)]
            if down > 1:
                held |= {len(texts) + i: (down, repeated) for i, repeated in enumerate(below)}
            texts += [text, *[""] * (across - 1)]
        _take_held(texts, held)
        held = {column: (left - 1, text) for column, (left, text) in held.items() if left > 1}
        yield texts


def _take_held(texts: list[str], held: dict[int, tuple[int, str]]) -> None:
    """Put in the cells that come down from rows above."""
    while len(texts) in held:
        texts.append(held[len(texts)][1])


def _span(cell: Node, name: str, most: int) -> int:
    span = cell.attributes.get(name, "1")
    return max(1, min(int(span), most)) if span.isdecimal() and len(span) < 6 else 1


def _as_table(rows: list[list[str]]) -> str:
    return table_as_markdown([[cell.replace("\\|", "|") for cell in row] for row in rows])


def _language(pre: Node) -> str:
    for node in pre.elements():
        if match := _LANGUAGE.search(node.attributes.get("class", "")):
            return match[1]
    return ""
