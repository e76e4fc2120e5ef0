"""What a page of HTML consists of, read by the standard library's parser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "path", "circle", "rect", "line"}


@dataclass
class Element:
    """An element with its children; texts are children too."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its text, white space folded."""
        return " ".join(self._raw().split())

    def _raw(self) -> str:
        parts = (child if isinstance(child, str) else child._raw() for child in self.children)
        return "".join(parts)

    @property
    def raw(self) -> str:
        """Its text as it is."""
        return self._raw()

    def all(self, tag: str = "", css: str = "") -> Iterator[Element]:
        """All elements inside of this kind, in order; `css`: a class that they have."""
        for child in self.children:
            if isinstance(child, Element):
                if tag in ("", child.tag) and (not css or css in child.attributes.get("class", "").split()):
                    yield child
                yield from child.all(tag, css)

    def one(self, tag: str = "", css: str = "", id_: str = "") -> Element:
        """The only one of its kind."""
        found = [each for each in self.all(tag, css) if not id_ or each.attributes.get("id") == id_]
        assert len(found) == 1, (tag, css, id_, len(found))
        return found[0]

    @property
    def query(self) -> dict[str, str]:
        """What the query string of its link says."""
        return dict(parse_qsl(urlsplit(self.attributes["href"]).query, keep_blank_values=True))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag}: an attribute stands twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def parsed(page: str) -> Element:
    """A page, of which every element must be closed where it was opened, and no id stand twice."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert len(reader._open) == 1, [element.tag for element in reader._open]
    ids = [element.attributes["id"] for element in reader.root.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    return reader.root
