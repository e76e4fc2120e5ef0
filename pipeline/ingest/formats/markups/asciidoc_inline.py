"""What stands within a line of AsciiDoc → Markdown: links, references, macros, marks."""

from __future__ import annotations

import re
from collections.abc import Mapping

_CODE = re.compile(r"(`[^`\n]+`)")
_WEB = r"(?:https?|ftp|irc|mailto):[^\s\[\]]+"
_LINK = re.compile(rf"(?:link:(\+\+.+?\+\+|[^\s\[\]]+)|({_WEB}))\[([^\[\]]*)\]")
_XREF = re.compile(r"<<([^<>,]+)(?:,\s*([^<>]+))?>>|xref:([^\s\[\]]+)\[([^\[\]]*)\]")
_MENU = re.compile(r"\bmenu:([^\s\[\]][^\[\]\n]*)\[([^\[\]]*)\]")
_SHOWN = re.compile(r"\b(?:kbd|btn|pass|stem|latexmath|asciimath):\w*\[([^\[\]]*)\]|\+\+\+(.+?)\+\+\+")
_PICTURE = re.compile(r"\b(?:image|icon):(?!:)[^\s\[\]]+\[([^\[\]]*)\]")
_NOTE = re.compile(r"\s*\bfootnote:\w*\[([^\[\]]*)\]")
_ANCHOR = re.compile(r"\[\[[^\]]*\]\]|\[#[\w.-]+\](?!#)|\banchor:[\w.:-]+\[[^\]]*\]")
_MARKED = re.compile(r"(?<![\w&#])(?:\[[^\[\]]*\])?#(?!#)(\S(?:[^#]*?\S)?)#(?![\w#])")
_SHIFTED = re.compile(r"([~^])([^\s~^]{1,20})\1")
_BOLD = re.compile(r"(?<![\w*])\*(?!\*)(\S(?:.*?\S)?)\*(?![\w*])")
_ITALIC = re.compile(r"(?<![\w_])_(?!_)(\S(?:.*?\S)?)_(?![\w_])")
_ATTRIBUTES = re.compile(r"(?:^|,\s*)[\w-]+=.*$")
OPEN = re.compile(rf"(?:link:\S+?|xref:[^\s\[\]]+|footnote:\w*|{_WEB})\[[^\[\]]*$")
"""A macro whose text goes on in the next line."""


def inline(line: str, values: Mapping[str, str]) -> str:
    """A line without its marks; code in it as it stands. `values`: the document's attributes."""
    line = re.sub(r"\{([\w-]+)\}", lambda match: values.get(match[1], match[0]), line)
    line = re.sub(r'"`(.+?)`"', r"“\1”", line)
    line = re.sub(r"'`(.+?)`'", r"‘\1’", line)
    parts = _CODE.split(line)
    parts[::2] = map(_text, parts[::2])
    parts[1::2] = (re.sub(r"^`\+(.+)\+`$", r"`\1`", part) for part in parts[1::2])
    return "".join(parts)


def _text(part: str) -> str:
    part = _LINK.sub(lambda match: _link((match[1] or match[2]).strip("+"), match[3]), part)
    part = _XREF.sub(lambda match: match[2] or match[4] or match[1] or match[3], part)
    part = _MENU.sub(lambda match: " > ".join(filter(None, (match[1], *re.split(r"\s*>\s*", match[2])))), part)
    part = _PICTURE.sub(lambda match: _shown(match[1]), part)
    part = _SHOWN.sub(lambda match: match[1] or match[2] or "", part)
    part = _NOTE.sub(lambda match: f" ({match[1]})" if match[1] else "", part)
    part = _ANCHOR.sub("", part)
    part = _MARKED.sub(r"\1", part)
    part = _SHIFTED.sub(r"\2", part)
    part = _BOLD.sub(r"**\1**", part)
    return _ITALIC.sub(r"*\1*", part)


def _link(address: str, attributes: str) -> str:
    """A link as Markdown; one within the page, or without a text of its own, is what a reader sees."""
    shown = _shown(attributes).rstrip("^")
    if address.startswith("#"):
        return shown or address[1:]
    return f"[{shown}]({address.replace(' ', '%20')})" if shown else address.removeprefix("mailto:")


def _shown(attributes: str) -> str:
    """The text at the head of a macro's attributes: `The site,window=_blank`."""
    quoted = re.match(r'"([^"]*)"(?:,|$)', attributes)
    return quoted[1] if quoted else _ATTRIBUTES.sub("", attributes).strip()
