"""Jupyter notebooks → Markdown: cells in order, code as code, what it printed below it."""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline.ingest.formats.decoding import UnreadableError, normalise_newlines
from pipeline.ingest.formats.html.main_content import everything
from pipeline.ingest.formats.html.tree import parse
from pipeline.ingest.formats.html.writer import Writer
from pipeline.ingest.formats.markup import fenced
from pipeline.records import MetadataValue

MOST_PAGE = 1_000_000
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_OVERWRITTEN = re.compile(r"[^\n\r]*\r(?=[^\n\r])")
"""What stood in a line before a bar of progress went on."""
_ONE = r"<(?:[\w.]+ (?:[^<>\n]*\b(?:at 0x|object\b)|size )|Axes(?:Subplot)?:)[^<>\n]*>"
_OBJECT = re.compile(rf"\[?{_ONE}(?:,\s*{_ONE})*\]?")
"""What Python shows of a figure, a page or the like, which is no text."""
MOST_OUTPUT = 2000
"""Characters that are kept of what one cell printed: nobody looks for tables of numbers and logs."""


def notebook(text: str) -> tuple[str, dict[str, MetadataValue]]:
    """The Markdown of a notebook (format 4, and 3 with its worksheets). Raises `UnreadableError`."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise UnreadableError("broken notebook: nested too deeply") from None
    except ValueError as error:
        raise UnreadableError(f"broken notebook: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict):
        raise UnreadableError("broken notebook: no JSON object")
    sheets = found.get("worksheets")
    cells = found.get("cells") or [cell for sheet in _list(sheets) for cell in _list(_dict(sheet).get("cells"))]
    if not isinstance(cells, list):
        raise UnreadableError("broken notebook: it has no list of cells")
    about = _dict(found.get("metadata"))
    language = str(
        _dict(about.get("language_info")).get("name") or _dict(about.get("kernelspec")).get("language") or ""
    )
    parts: list[str] = []
    for cell in map(_dict, cells):
        source = _joined(cell.get("source", cell.get("input", "")))
        kind = cell.get("cell_type")
        if not source.strip():
            continue
        if kind == "code":
            parts.append(fenced(source.strip("\n"), language))
            parts += filter(None, map(_printed, map(_dict, _list(cell.get("outputs")))))
        elif kind == "heading":
            level = cell.get("level", 1)
            parts.append("#" * (level if isinstance(level, int) and 0 < level < 7 else 1) + " " + source.strip())
        else:
            parts.append(source.strip("\n"))
    title = about.get("title")
    return "\n\n".join(parts), {"title": title.strip()} if isinstance(title, str) and title.strip() else {}


def _printed(output: dict[str, Any]) -> str:
    """What a cell printed or gave back, as a block: text as code, Markdown and pages as such; no pictures."""
    data = _dict(output.get("data"))
    if markdown := _joined(data.get("text/markdown")).strip():
        return _cut(markdown)
    text = _raw(output.get("text") or data.get("text/plain"))
    if output.get("output_type") in ("error", "pyerr"):
        text = f"{output.get('ename', '')}: {output.get('evalue', '')}"
    text = _OVERWRITTEN.sub("", _COLOURS.sub("", text).replace("\r\n", "\n"))
    text = normalise_newlines(text).strip("\n")
    if _OBJECT.fullmatch(text):
        page = _joined(data.get("text/html"))[:MOST_PAGE]
        return _cut(Writer(10 * MOST_PAGE).write(everything(parse(page))))
    return fenced(_cut(text)) if text else ""


def _cut(text: str) -> str:
    return text if len(text) <= MOST_OUTPUT else text[:MOST_OUTPUT].rstrip() + "\n…"


def _joined(value: object) -> str:
    return normalise_newlines(_raw(value))


def _raw(value: object) -> str:
    """A text that may be given as a list of lines."""
    lines = value if isinstance(value, list) else [value]
    return "".join(line for line in lines if isinstance(line, str))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
