"""AsciiDoc → Markdown: headings, listings, tables' text and paragraphs; attributes and anchors gone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.ingest.formats.markup import fenced, heading, table_as_markdown
from pipeline.ingest.formats.markups.asciidoc_inline import OPEN, inline

_HEADING = re.compile(r"^(={1,6})\s+(\S.*?)(?:\s+=+)?\s*$")
_ATTRIBUTE = re.compile(r"^:(!?[\w-]+!?):(?:\s+(.*))?$")
_BLOCK_LINE = re.compile(r"^\[[^\[\]]*\]\s*$|^\[\[[^\]]*\]\]\s*$")
_SOURCE = re.compile(r"^\[(?:source|listing)?,\s*([\w+#-]+)")
_TITLE = re.compile(r"^\.(\w.*)$")
_GONE = re.compile(
    r"^(?:image|include|video|audio|toc)::|^'''$|^<<<$|^ifdef::|^ifndef::|^endif::|^ifeval::|^//(?!/)"
)
_FENCES = ("----", "....", "```")
_WRAPS = ("====", "****", "____", "--")
_BULLET = re.compile(r"^\s*(\*{1,5}|\.{1,5}|-)\s+(?=\S)")
_CALLOUT = re.compile(r"^<(?:\d+|\.)>\s+")
_TERM = re.compile(r"^\s*(\S.*?)(?:(?<!:):{2,4}|;;)(?:\s+(\S.*))?$")
_KINDS = "NOTE|TIP|IMPORTANT|WARNING|CAUTION"
_ADMONITION = re.compile(rf"^({_KINDS}):\s+")
_ADMONISHED = re.compile(rf"^\[({_KINDS})\]\s*$")
MOST_JOINED = 10


def asciidoc(text: str) -> tuple[str, str]:
    """The Markdown of a text, and its title: the heading of level 0, else the first."""
    lines = text.split("\n")
    values: dict[str, str] = {}
    found: list[str] = []
    title = language = kind = ""
    place = 0
    while place < len(lines):
        line = lines[place].rstrip()
        place += 1
        if match := _HEADING.match(line):
            name = inline(match[2], values).strip()
            title = title or name
            found += ["", heading(len(match[1]), name), ""]
        elif match := _ATTRIBUTE.match(line):
            values[match[1]] = match[2] or ""
        elif line == "////":
            place = _closing(lines, place, line) + 1
        elif line.startswith(_FENCES) and len(set(line.rstrip("`-."))) == 0:
            end = _closing(lines, place, line)
            code = "\n".join(lines[place:end]).strip("\n")
            found += ["", fenced(code, language), ""] if code.strip() else []
            place, language = end + 1, ""
        elif line.startswith("|==="):
            end = _closing(lines, place, line)
            found += ["", *_table(lines[place:end], values), ""]
            place = end + 1
        elif match := _SOURCE.match(line):
            language = match[1]
        elif match := _ADMONISHED.match(line):
            kind = f"{match[1].capitalize()}: "
        elif _BLOCK_LINE.match(line) or _GONE.match(line) or line in _WRAPS or line == "+":
            continue
        elif match := _TITLE.match(line):
            found += ["", f"**{inline(match[1], values)}**", ""]
        elif not line:
            found.append("")
        else:
            line, place = _whole(lines, place)
            found += _line(kind + _ADMONITION.sub(lambda match: f"{match[1].capitalize()}: ", line), values)
            kind = ""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(found)).strip(), title


def _closing(lines: list[str], place: int, fence: str) -> int:
    """The line that ends a block; the end of the text if none does."""
    return next((i for i in range(place, len(lines)) if lines[i].rstrip() == fence), len(lines))


def _table(lines: list[str], values: dict[str, str]) -> list[str]:
    """A table whose rows are a line each, or whose first line tells how many cells a row has."""
    rows: list[list[str]] = []
    for line in lines:
        if not line.strip():
            continue
        cells = [inline(cell.strip(), values) for cell in re.split(r"(?<!\\)(?:[\d.+*<>^]*[a-z]?)\|", line)[1:]]
        if cells:
            rows.append(cells)
        elif rows:
            rows[-1][-1] += " " + inline(line.strip(), values)
    width = len(rows[0]) if rows else 0
    flat = [cell for row in rows for cell in row]
    if any(len(row) != width for row in rows) and width and len(flat) % width == 0:
        rows = [flat[i : i + width] for i in range(0, len(flat), width)]
    return [table_as_markdown(rows)] if rows else []


def _whole(lines: list[str], place: int) -> tuple[str, int]:
    """The line before `place`, with those into which a macro in it goes on, and the place behind them."""
    line, last = lines[place - 1].rstrip(), place + MOST_JOINED
    while OPEN.search(line) and place < min(last, len(lines)) and lines[place].strip():
        line, place = f"{line} {lines[place].strip()}", place + 1
    return line, place


def _line(line: str, values: Mapping[str, str]) -> list[str]:
    """A line of a paragraph, an item of a list, or a term and what is said of it."""
    if match := _BULLET.match(line):
        mark = "1. " if match[1][0] == "." else "- "
        return ["  " * (len(match[1]) - 1) + mark + inline(line[match.end() :], values)]
    if match := _CALLOUT.match(line):
        return ["1. " + inline(line[match.end() :], values)]
    if match := _TERM.match(line):
        said = [inline(match[2], values)] if match[2] else []
        return ["", f"**{inline(match[1], values).replace('**', '')}**", "", *said]
    return [inline(line, values)]
