"""What a page is about, without what stands around it on every page: menus, heads, feet, banners."""

from __future__ import annotations

import re

from pipeline.ingest.formats.html.tree import Node

_NEVER = """
script style noscript template svg math canvas iframe object embed head title button select input textarea datalist
dialog audio video
"""
NEVER = frozenset(_NEVER.split())
"""Nothing that is read stands in these."""
AROUND = frozenset({"nav", "aside", "footer", "menu"})
_ROLES = frozenset({"navigation", "banner", "contentinfo", "complementary", "search", "menu", "menubar", "dialog"})
_NAMES = re.compile(
    r"(?:site|page|main|top|global|primary|secondary|left|right|doc|docs|wiki|sphinx|bd|mw)?[-_]?"
    r"(?:nav|navheader|navfooter|navbar|navigation|navigator|sidebar|sidenav|menu|breadcrumbs?|footer|toc|tableofcontents|toctree|"
    r"cookies?|banner|skip|skiplink|share|sharing|social|pagination|pager|advert|advertisement|ads|newsletter|"
    r"subscribe|related|editsection|headerlink)(?:[-_]?(?:wrapper|container|bar|inner|box|list|"
    r"links?|content|consent|notice|to-?content|inner|left|right|panel|area|main))?"
)
_PARTS = frozenset({"div", "section", "ul", "ol", "table", "a", "form", "p", "dl"})
_NUMBERED = frozenset({"td", "span", "div"})
_NUMBERS = frozenset({"linenos", "lineno", "linenodiv", "rouge-gutter"})
"""Numbers of lines beside code."""
FEWEST = 0.2
"""Main content with less than this share of the page's text is not believed, …"""
ENOUGH = 400
"""… unless it has so many characters."""
_TURNS = frozenset({"next", "prev", "previous", "up", "index", "contents", "start", "home", "first", "last"})
"""What links to other pages of a book say they are, in `rel`."""
_LINKS, _LINK_SHARE = 6, 0.8
"""A list or table of so many links, which are so much of its text, is a menu, outside of `main` and `article`."""


def main_content(root: Node) -> Node:
    """The part of a page to read: `main`, an only `article`, or the body, without what is around.

    All of the body if what was found is too little to be believed.
    """
    whole = next((node for node in root.elements() if node.tag == "body"), root)
    everything = _pruned(whole, around=False)
    total = _length(everything)
    found = _pruned(_chosen(whole), around=True)
    kept = _length(found)
    return found if kept >= ENOUGH or kept >= FEWEST * total else everything


def everything(root: Node) -> Node:
    """All of a page that is text."""
    return _pruned(next((node for node in root.elements() if node.tag == "body"), root), around=False)


def _chosen(body: Node) -> Node:
    mains = [node for node in body.elements() if node.tag == "main" or node.attributes.get("role") == "main"]
    if mains and _length(mains[0]):
        return mains[0]
    articles = [node for node in body.elements() if node.tag == "article"]
    return articles[0] if len(articles) == 1 and _length(articles[0]) >= ENOUGH else body


def _pruned(node: Node, around: bool, inside: bool = False) -> Node:
    """A copy without what is never read, and without what is around the content if that is asked for."""
    kept = Node(node.tag, node.attributes)
    inside = inside or node.tag in ("article", "main")
    around = around and node.tag != "pre"
    for child in node.children:
        if isinstance(child, str):
            kept.children.append(child)
        elif child.tag not in NEVER and not _is_hidden(child) and not (around and _is_around(child, inside)):
            kept.children.append(_pruned(child, around, inside))
    return kept


def _is_hidden(node: Node) -> bool:
    style = node.attributes.get("style", "").replace(" ", "").lower()
    if node.tag in _NUMBERED and _NUMBERS & node.words():
        return True
    return "hidden" in node.attributes or "display:none" in style or "visibility:hidden" in style


def _is_around(node: Node, inside: bool) -> bool:
    if node.tag in AROUND or node.attributes.get("role", "").lower() in _ROLES:
        return True
    if node.tag == "header" and not inside:
        return not any(below.tag == "h1" for below in node.elements())
    if node.tag not in _PARTS:
        return node.tag == "span" and "viewcode-link" in node.words()
    return any(_NAMES.fullmatch(word) for word in node.words()) or _is_menu(node, inside) or _turns_pages(node)


def _is_menu(node: Node, inside: bool) -> bool:
    if inside or node.tag not in ("ul", "ol", "table"):
        return False
    links = [below for below in node.elements() if below.tag == "a"]
    return len(links) >= _LINKS and sum(map(_length, links)) >= _LINK_SHARE * _length(node)


def _turns_pages(node: Node) -> bool:
    """Whether a paragraph is there to leaf through a book: `Next: …, Up: …`."""
    links = [below for below in node.elements() if below.tag == "a"] if node.tag == "p" else []
    if len(links) < 2 or not all(_TURNS & {*link.attributes.get("rel", "").lower().split()} for link in links):
        return False
    return sum(map(_length, links)) >= _length(node) / 2


def _length(node: Node) -> int:
    return len("".join(node.text().split()))
