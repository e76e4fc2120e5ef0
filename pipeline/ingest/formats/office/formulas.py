"""Formulas of DOCX (OMML) → LaTeX in the text, where mammoth would leave them out."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree

Element = ElementTree.Element

_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_BLANK = "{http://www.w3.org/XML/1998/namespace}space"
_SCRIPTS = {"sSup": ("e", "", "sup"), "sSub": ("e", "sub", ""), "sSubSup": ("e", "sub", "sup"),
            "limLow": ("e", "lim", ""), "limUpp": ("e", "", "lim")}  # fmt: skip
_NEXT_ROW = r" \\ "


def with_formulas(data: bytes) -> bytes:
    """A document whose formulas are text: `$…$` in a line, `$$…$$` where they stand alone.

    Raises `ElementTree.ParseError`, `zipfile.BadZipFile`.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name.startswith("word/") and name.endswith(".xml")]
        parts = {name: part for name in names if b":oMath" in (part := archive.read(name))}
        if not parts:
            return data
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as written:
            for name in archive.namelist():
                written.writestr(name, _as_text(parts[name]) if name in parts else archive.read(name))
    return sink.getvalue()


def _as_text(part: bytes) -> bytes:
    root = ElementTree.fromstring(part)
    for parent in list(root.iter()):
        for place, child in enumerate(parent):
            if child.tag == f"{_MATH}oMathPara":
                parent[place] = _run(" ".join(f"$${latex(one)}$$" for one in child.iter(f"{_MATH}oMath")))
            elif child.tag == f"{_MATH}oMath":
                parent[place] = _run(f"${latex(child)}$")
    return ElementTree.tostring(root)


def _run(text: str) -> Element:
    run = Element(f"{_WORD}r")
    shown = ElementTree.SubElement(run, f"{_WORD}t", {_BLANK: "preserve"})
    shown.text = text
    return run


def latex(node: Element) -> str:
    """A formula or a part of one; what it does not know is the text in it."""
    kind = node.tag.removeprefix(_MATH)
    if kind in _SCRIPTS:
        base, low, high = _SCRIPTS[kind]
        return _part(node, base) + _scripts(_part(node, low), _part(node, high))
    if kind == "r":
        return "".join(text.text or "" for text in node.iter(f"{_MATH}t"))
    if kind == "f":
        return rf"\frac{{{_part(node, 'num')}}}{{{_part(node, 'den')}}}"
    if kind == "rad":
        degree = _part(node, "deg")
        return rf"\sqrt{f'[{degree}]' if degree else ''}{{{_part(node, 'e')}}}"
    if kind == "nary":
        return f"{_sign(node, 'chr', '∫')}{_scripts(_part(node, 'sub'), _part(node, 'sup'))} {_part(node, 'e')}"
    if kind == "d":
        inner = _sign(node, "sepChr", "|").join(map(_all, node.iterfind(f"{_MATH}e")))
        return _sign(node, "begChr", "(") + inner + _sign(node, "endChr", ")")
    if kind == "func":
        return f"{_part(node, 'fName')} {_part(node, 'e')}"
    if kind == "m":
        rows = (" & ".join(map(_all, row.iterfind(f"{_MATH}e"))) for row in node.iterfind(f"{_MATH}mr"))
        return rf"\begin{{matrix}}{_NEXT_ROW.join(rows)}\end{{matrix}}"
    if kind == "eqArr":
        return _NEXT_ROW.join(map(_all, node.iterfind(f"{_MATH}e")))
    if kind == "acc":
        return _part(node, "e") + _sign(node, "chr", "\u0302")
    return "" if kind.endswith("Pr") else _all(node)


def _all(node: Element) -> str:
    return "".join(_written(node))


def _written(node: Element) -> Iterator[str]:
    for child in node:
        yield latex(child)


def _part(node: Element, name: str) -> str:
    found = node.find(f"{_MATH}{name}") if name else None
    return "" if found is None else _all(found).strip()


def _scripts(low: str, high: str) -> str:
    return "".join(
        mark + (script if len(script) == 1 else f"{{{script}}}")
        for mark, script in (("_", low), ("^", high))
        if script
    )


def _sign(node: Element, name: str, default: str) -> str:
    """A sign among the properties of a part; one that is there and empty is none."""
    found = node.find(f"{_MATH}{node.tag.removeprefix(_MATH)}Pr/{_MATH}{name}")
    return default if found is None else found.get(f"{_MATH}val", "")
