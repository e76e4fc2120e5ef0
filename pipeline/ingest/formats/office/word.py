"""DOCX → Markdown: mammoth (of the extra `docs`) makes HTML of it, which is written as pages are."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from functools import partial

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.html.reader import clean
from pipeline.ingest.formats.html.tree import Node, parse
from pipeline.ingest.formats.html.writer import Writer
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.office.formulas import with_formulas
from pipeline.ingest.formats.office.package import missing, read_package
from pipeline.ingest.formats.office.properties import property_title, usable_title
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue

_TITLE = "title"
_CODE = ("Code", "Source Code", "HTML Preformatted", "Preformatted Text")
_QUOTES = ("Quote", "Intense Quote", "Quotations", "Block Text")
_CONTENTS = ("TOC Heading", "table of figures", *(f"toc {level}" for level in range(1, 10)))
STYLES = "\n".join(
    [
        f"p[style-name='Title'] => h1.{_TITLE}:fresh",
        *(f"p[style-name='heading {level}'] => h6:fresh" for level in (7, 8, 9)),
        *(
            f"p[style-name='{name} {level}'] => h{level}:fresh"
            for name in ("제목", "개요")
            for level in range(1, 7)
        ),
        *(f"p[style-name='{name}'] => pre:separator('\\n')" for name in _CODE),
        *(f"p[style-name='{name}'] => blockquote > p:fresh" for name in _QUOTES),
        *(f"p[style-name='{name}'] => !" for name in _CONTENTS),
    ]
)
"""What styles mean beyond those that mammoth knows; the last are left out: a table of contents repeats headings."""


def read_docx(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    try:
        import mammoth
    except ImportError:
        raise missing(file.suffix) from None
    data = read_package(file, settings)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what the library could not lay out; the text is there
            page = mammoth.convert_to_html(
                io.BytesIO(with_formulas(data)),
                style_map=STYLES,
                include_embedded_style_map=False,
                convert_image=mammoth.images.img_element(lambda image: {}),
            ).value
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # the border: two parsers, each with its own errors
        raise UnreadableError(f"broken {file.suffix} file: {first_line(error)}") from error
    root = parse(page)
    title = property_title(data) or _first_title(root)
    metadata: dict[str, MetadataValue] = {"title": title} if title else {}
    text = clean(Writer(max_bytes(settings)).write(_without_ways_back(root)))
    return Document(file.name, text, metadata, is_markdown=True)


def _first_title(root: Node) -> str:
    titles = (node for node in root.elements() if node.tag == "h1" and _TITLE in node.words())
    return next((title for node in titles if (title := usable_title(node.text()))), "")


def _without_ways_back(node: Node) -> Node:
    """A copy without the arrows that lead from a note to its place."""
    kept = [
        child if isinstance(child, str) else _without_ways_back(child)
        for child in node.children
        if isinstance(child, str)
        or not child.attributes.get("href", "").startswith(("#footnote-ref", "#endnote-ref"))
    ]
    return Node(node.tag, node.attributes, kept)
