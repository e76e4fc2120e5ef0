"""Markdown as HTML that is nothing but text: no markup of the document's own, no picture, links to the web only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from pipeline.serve.page.text.links import web_address

_MOST = 400_000
"""Characters up to which a text is rendered; a longer one is shown as it is."""


def rendered(texts: Sequence[str]) -> list[str] | None:
    """A text that is given in parts, as HTML for each of them; `None` if it is too long for that.

    A block that goes over the end of a part belongs to the last part that begins in it. Headings are renumbered, as
    they stand below a page's own and none may be left out between two.
    """
    text = "".join(texts)
    if len(text) > _MOST:
        return None
    starts, line = [], 0
    for part in texts:
        starts.append(line + len(part) - len(part.lstrip("\n")))
        line += part.count("\n")
    parser = _parser()
    parts: list[list[str]] = [[] for _ in texts]
    place = 0
    for block in _blocks(parser.parse(text)):
        lines = block[0].map or [starts[place], starts[place] + 1]
        while place + 1 < len(starts) and starts[place + 1] < lines[1]:
            place += 1
        parts[place].append(parser.renderer.render(block, parser.options, {}))
    return ["".join(part) for part in parts]


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("js-default", {"html": False, "linkify": False, "maxNesting": 20})


def _blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The outermost blocks, made harmless."""
    block: list[Token] = []
    levels: list[str] = []
    depth = 0
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            levels = [*(level for level in levels if level < token.tag), token.tag]
            token.tag = tokens[place + 2].tag = f"h{min(len(levels) + 1, 6)}"
        if token.type == "th_open" and not tokens[place + 1].content:
            token.tag = tokens[place + 2].tag = "td"
        _tamed(token)
        block.append(token)
        depth += token.nesting
        if depth == 0:
            yield block
            block = []


def _tamed(token: Token) -> None:
    """Take out what a page may not have of a document."""
    token.attrs.pop("style", None)
    if token.type == "link_open":
        href = web_address(str(token.attrs.pop("href", "")))
        token.attrs.clear()
        if href is not None:
            token.attrs.update({"href": href, "rel": "noopener noreferrer nofollow external"})
    for child in token.children or ():
        _tamed(child)
    if token.children:
        token.children = [_as_text(child) if child.type == "image" else child for child in token.children]


def _as_text(image: Token) -> Token:
    return Token("text", "", 0, content=image.content)
