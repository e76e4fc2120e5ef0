"""AsciiDoc → Markdown: headings, listings, tables' text and paragraphs; attributes and anchors gone."""

from __future__ import annotations

import re

from pipeline.ingest.formats.markup import fenced, heading, table_as_markdown

_HEADING = re.compile(r"^(={1,6})\s+(\S.*?)(?:\s+=+)?\s*$")
_ATTRIBUTE = re.compile(r"^:(!?[\w-]+!?):(?:\s+(.*))?$")
_BLOCK_LINE = re.compile(r"^\[[^\[\]]*\]\s*$|^\[\[[^\]]*\]\]\s*$")
_SOURCE = re.compile(r"^\[(?:source|listing)?,\s*([\w+#-]+)")
_TITLE = re.compile(r"^\.(\w.*)$")
_MACRO = re.compile(r"(?:link:)?((?:https?|ftp|mailto):[^\s\[\]]+)\[([^\[\]]*)\]")
_XREF = re.compile(r"<<([^<>,]+)(?:,\s*([^<>]+))?>>|xref:([^\s\[\]]+)\[([^\[\]]*)\]")
_ANCHOR = re.compile(r"\[\[[^\]]*\]\]|\[#[\w.-]+\]")
_GONE = re.compile(
    r"^(?:image|include|video|audio|toc)::|^'''$|^<<<$|^ifdef::|^ifndef::|^endif::|^ifeval::|^//(?!/)"
)
_FENCES = ("----", "....", "```")
_WRAPS = ("====", "****", "____", "--")
_BULLET = re.compile(r"^\s*(\*{1,5}|\.{1,5}|-)\s+(?=\S)")
_ADMONITION = re.compile(r"^(NOTE|TIP|IMPORTANT|WARNING|CAUTION):\s+")


def asciidoc(text: str) -> tuple[str, str]:
    """The Markdown of a text, and its title: the heading of level 0, else the first."""
    lines = text.split("\n")
    values: dict[str, str] = {}
    found: list[str] = []
    title = language = ""
    place = 0
    while place < len(lines):
        line = lines[place].rstrip()
        place += 1
        if match := _HEADING.match(line):
            name = _inline(match[2], values)
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
        elif _BLOCK_LINE.match(line) or _GONE.match(line) or line in _WRAPS or line == "+":
            continue
        elif match := _TITLE.match(line):
            found += ["", f"**{_inline(match[1], values)}**", ""]
        else:
            found.append(_listed(_inline(line, values)))
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
        cells = [_inline(cell.strip(), values) for cell in re.split(r"(?<!\\)(?:[\d.+*<>^]*[a-z]?)\|", line)[1:]]
        if cells:
            rows.append(cells)
        elif rows:
            rows[-1][-1] += " " + _inline(line.strip(), values)
    width = len(rows[0]) if rows else 0
    flat = [cell for row in rows for cell in row]
    if any(len(row) != width for row in rows) and width and len(flat) % width == 0:
        rows = [flat[i : i + width] for i in range(0, len(flat), width)]
    return [table_as_markdown(rows)] if rows else []


def _inline(line: str, values: dict[str, str]) -> str:
    line = re.sub(r"\{([\w-]+)\}", lambda match: values.get(match[1], match[0]), line)
    line = _MACRO.sub(lambda match: f"[{match[2].rstrip('^')}]({match[1]})" if match[2] else match[1], line)
    line = _XREF.sub(lambda match: match[2] or match[4] or match[1] or match[3], line)
    line = _ANCHOR.sub("", line)
    line = re.sub(r"(?<!\w)\*(\S(?:.*?\S)?)\*(?!\w)", r"**\1**", line) if not _BULLET.match(line) else line
    line = re.sub(r"(?<!\w)_(\S(?:.*?\S)?)_(?!\w)", r"*\1*", line)
    return _ADMONITION.sub(lambda match: f"{match[1].capitalize()}: ", line)


def _listed(line: str) -> str:
    match = _BULLET.match(line)
    if match is None:
        return line
    depth = len(match[1]) - 1
    return "  " * depth + ("1. " if match[1][0] == "." else "- ") + line[match.end() :]
