"""reStructuredText → Markdown: headings, literal blocks, lists and paragraphs; roles and directives reduced."""

from __future__ import annotations

import re

from pipeline.ingest.formats.markup import fenced, heading, table_as_markdown
from pipeline.ingest.formats.markups.rst_tables import GRID, SIMPLE, grid, of_csv, of_list, simple

_ADORNMENT = re.compile(r"^([!-/:-@\[-`{-~])\1{2,}\s*$")
_DIRECTIVE = re.compile(r"^(\s*)\.\.\s+([A-Za-z][\w:.+-]*)::\s*(.*)$")
_COMMENT = re.compile(r"^(\s*)\.\.(?:\s|$)")
_FIELD = re.compile(r"^:[^:\n]{1,60}:(?:\s|$)")
_ROLE = re.compile(r":(?:[A-Za-z][\w.+-]*:)+`([^`]*)`")
_LINK = re.compile(r"`([^`<>]+?)\s*<([^`<>]*)>`__?")
_NAMED = re.compile(r"`([^`]+)`__?|\b([\w.-]+\w)__?(?![\w_])")
_LITERAL = re.compile(r"``(.+?)``")
_CODE = frozenset(
    {"code", "code-block", "sourcecode", "literalinclude", "parsed-literal", "doctest", "testcode", "math"}
)
_NOTHINGS = """
toctree image figure include raw index contents highlight only meta currentmodule module automodule autoclass
autofunction tabularcolumns default-role sectnum target-notes
"""
_NOTHING = frozenset(_NOTHINGS.split())
_TITLED = frozenset({"admonition", "topic", "sidebar", "rubric", "note", "warning", "tip", "hint", "important"})
_VERSIONS = {
    "versionadded": "Added in version {}",
    "versionchanged": "Changed in version {}",
    "deprecated": "Deprecated since version {}",
    "versionremoved": "Removed in version {}",
    "deprecated-removed": "Deprecated since version {}, to be removed in version {}",
}
_BLOCK = re.compile(r"[-*+] |#|\||```|>|\d+\. ")


def rst(text: str) -> tuple[str, str]:
    """The Markdown of a text, and its title: the first heading, if there is one."""
    lines = text.expandtabs(8).split("\n")
    levels: dict[str, int] = {}
    found: list[str] = []
    title = ""
    place = 0
    while place < len(lines):
        line = lines[place]
        named = _heading(lines, place)
        if named is not None:
            name, kind, place = named
            level = levels.setdefault(kind, len(levels) + 1)
            title = title or _plain(name)
            found += ["", heading(level, _plain(name)), ""]
        elif GRID.match(line) or SIMPLE.match(line):
            rows, end = (grid if GRID.match(line) else simple)(lines, place)
            found += ["", *_table(rows), ""]
            place = end
        elif match := _DIRECTIVE.match(line):
            block, place = _indented(lines, place + 1, len(match[1]))
            found += _directive(match[2], match[3], block)
        elif match := _COMMENT.match(line):
            _, place = _indented(lines, place + 1, len(match[1]))
        elif line.rstrip().endswith("::"):
            kept = line.rstrip()[:-2].rstrip()
            block, place = _indented(lines, place + 1, len(line) - len(line.lstrip()))
            found += [_inline(kept) + (":" if kept else ""), "", *_code(block), ""]
        elif line.startswith(">>> "):
            end = next((i for i in range(place, len(lines)) if not lines[i].strip()), len(lines))
            found += ["", *_code(lines[place:end], "python"), ""]
            place = end
        else:
            found.append("" if _ADORNMENT.match(line) else _inline(line))
            place += 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(found)).strip(), title


def _heading(lines: list[str], place: int) -> tuple[str, str, int] | None:
    """A title, what kind of line marks it, and the line behind it."""
    line = lines[place].rstrip()
    below = lines[place + 1].rstrip() if place + 1 < len(lines) else ""
    if _ADORNMENT.match(line) and place + 2 < len(lines) and lines[place + 2].rstrip() == line and below.strip():
        return below.strip(), f"{line[0]}{line[0]}", place + 3
    is_title = line.strip() and line[0] != " " and not _ADORNMENT.match(line)
    if is_title and _ADORNMENT.match(below) and len(below) >= min(len(line), 4):
        return line.strip(), below[0], place + 2
    return None


def _indented(lines: list[str], place: int, indent: int) -> tuple[list[str], int]:
    """The lines from `place` on that are further in than `indent`, their common indent taken away."""
    end = place
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent):
        end += 1
    block = lines[place:end]
    while block and not block[-1].strip():
        block.pop()
    margin = min((len(line) - len(line.lstrip()) for line in block if line.strip()), default=0)
    return [line[margin:] for line in block], end


def _directive(name: str, argument: str, block: list[str]) -> list[str]:
    name = name.rpartition(":")[2] if "::" not in name else name
    whole = block
    while block and (
        _FIELD.match(block[0]) or (not block[0].strip() and len(block) > 1 and _FIELD.match(block[1]))
    ):
        block = block[1:]
    if name in _CODE:
        return ["", *_code(block, argument if re.fullmatch(r"[\w+-]{1,20}", argument) else ""), ""]
    if name in _NOTHING:
        return [""]
    if name in ("list-table", "csv-table"):
        rows = of_list(block) if name == "list-table" else of_csv(whole[: len(whole) - len(block)], block)
        return ["", _inline(argument), "", *_table(rows), ""]
    if name in _VERSIONS:
        return ["", _versioned(_VERSIONS[name], argument, block), ""]
    inner, _ = rst("\n".join(block)) if block else ("", "")
    shown = _inline(argument)
    if name not in _TITLED and shown and inner:
        shown = f"`{argument.strip()}`" if "(" in argument else shown
    return ["", shown, "", inner, ""]


def _versioned(said: str, argument: str, block: list[str]) -> str:
    """A note about a version, as documentation shows it. `said`: with a place for each version."""
    count = said.count("{}")
    versions = argument.split(maxsplit=count)
    rest = versions[count] if len(versions) > count else ""
    lead = said.format(*versions) if len(versions) >= count else said.partition(" ")[0]
    inner, _ = rst("\n".join([rest, *block]))
    if not inner:
        return f"{lead}."
    return f"{lead}:\n\n{inner}" if _BLOCK.match(inner) else f"{lead}: {inner}"


def _table(rows: list[list[str]]) -> list[str]:
    return [table_as_markdown([[_inline(cell) for cell in row] for row in rows])] if rows else []


def _code(block: list[str], language: str = "") -> list[str]:
    code = "\n".join(block).strip("\n")
    return [fenced(code, language)] if code.strip() else []


def _inline(line: str) -> str:
    line = _ROLE.sub(lambda match: f"`{_target(match[1])}`", line)
    line = _LITERAL.sub(r"`\1`", line)
    line = _LINK.sub(lambda match: f"[{match[1]}]({match[2]})" if "://" in match[2] else match[1], line)
    line = _NAMED.sub(lambda match: match[0] if not match[0].endswith("_") else match[1] or match[2], line)
    return line[2:] if line.startswith("| ") else line


def _target(role: str) -> str:
    """What a role shows: the title before `<target>`, the last part of a `~dotted.name`."""
    title = role.partition("<")[0].strip() or role
    return title.rpartition(".")[2] if title.startswith("~") else title.lstrip("!")


def _plain(title: str) -> str:
    return _inline(title).replace("`", "").strip()
