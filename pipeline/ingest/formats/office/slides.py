"""PPTX → Markdown: each slide a page, its title a heading, its shapes in the order of reading (python-pptx)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError, normalise_newlines
from pipeline.ingest.formats.fields import first_line, oversize
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.markup import escaped, heading, table_as_markdown
from pipeline.ingest.formats.office.package import missing, read_package
from pipeline.ingest.formats.office.properties import property_title
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue

_TITLES = frozenset({"TITLE", "CENTER_TITLE", "VERTICAL_TITLE"})
_LISTS = frozenset({"BODY", "OBJECT", "VERTICAL_BODY", "VERTICAL_OBJECT"})
_AROUND = frozenset({"DATE", "FOOTER", "HEADER", "SLIDE_NUMBER"})
_DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
_RELATED = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}dm"


def read_pptx(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a deck."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    try:
        import pptx
    except ImportError:
        raise missing(file.suffix) from None
    data, limit = read_package(file, settings), max_bytes(settings)
    parts: list[str] = []
    pages: list[int] = []
    length = size = 0
    try:
        for slide in pptx.Presentation(io.BytesIO(data)).slides:
            pages.append(length)
            for part in _parts(slide):
                part = normalise_newlines(part.encode("utf-8", "replace").decode("utf-8")).strip("\n")
                if not part.strip():
                    continue
                parts.append(part)
                length += len(part) + 2
                size += len(part.encode()) + 2
                if size > limit:
                    raise oversize(limit)
    except (UnreadableError, MemoryError, RecursionError):
        raise
    except Exception as error:  # the border: what a broken deck makes python-pptx raise has no common base
        raise UnreadableError(f"broken {file.suffix} file: {first_line(error)}") from error
    if not parts:
        raise UnreadableError(f"no text on any of its slides ({len(pages)})")
    title = property_title(data)
    metadata: dict[str, MetadataValue] = {"title": title} if title else {}
    return Document(file.name, "\n\n".join(parts), metadata, is_markdown=True, pages=tuple(pages))


def _parts(slide: Any) -> Iterator[str]:
    """The blocks of a slide: title, shapes, what its speaker has noted."""
    shapes = _in_order(slide.shapes)
    titles = [shape for shape in shapes if _place(shape) in _TITLES and _text(shape)]
    for shape in titles:
        yield heading(1, _text(shape))
    for shape in shapes:
        if shape not in titles:
            yield from _blocks(shape)
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if notes is not None and notes.text.strip():
        yield heading(3, "Notes")
        yield from (escaped(_line(paragraph.text)) for paragraph in notes.paragraphs)


def _in_order(shapes: Iterable[Any]) -> list[Any]:
    """From top to bottom, then from left to right; those without a place first."""
    return sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0))


def _place(shape: Any) -> str:
    """What a placeholder is for, such as `TITLE`; empty for other shapes."""
    kind = shape.placeholder_format.type if shape.is_placeholder else None
    return kind.name if kind is not None else ""


def _text(shape: Any) -> str:
    return " ".join(shape.text_frame.text.split()) if shape.has_text_frame else ""


def _blocks(shape: Any) -> Iterator[str]:
    """The blocks of one shape, and of those that are grouped in it."""
    if _place(shape) in _AROUND:
        return
    if hasattr(shape, "shapes"):
        for inner in _in_order(shape.shapes):
            yield from _blocks(inner)
    elif shape.has_text_frame:
        yield from _paragraphs(shape.text_frame, _place(shape) in _LISTS)
    elif getattr(shape, "has_table", False):
        yield table_as_markdown(_rows(shape.table))
    elif getattr(shape, "has_chart", False):
        yield from _chart(shape.chart)
    elif (diagram := shape._element.find(f".//{{{_DIAGRAM}}}relIds")) is not None:
        yield from _diagram(shape.part.related_part(diagram.get(_RELATED)).blob)
    else:
        yield escaped(_line(shape._element.xpath("string(.//*[local-name()='cNvPr']/@descr)")))


def _paragraphs(frame: Any, is_list: bool) -> Iterator[str]:
    """Paragraphs; as a list where a slide shows points, with their levels."""
    found = [(paragraph.level, escaped(_line(paragraph.text))) for paragraph in frame.paragraphs]
    found = [(level, text) for level, text in found if text]
    if is_list and len(found) > 1:
        yield "\n".join(f"{'  ' * level}- {text}" for level, text in found)
    else:
        yield from (text for _, text in found)


def _line(text: str) -> str:
    """On one line: within a paragraph lines are only broken to fit a shape."""
    return " ".join(text.split())


def _rows(table: Any) -> list[list[str]]:
    """The cells; one over several rows stands in each, one over several columns in the first."""
    held: dict[tuple[int, int], str] = {}
    rows: list[list[str]] = []
    for number, row in enumerate(table.rows):
        rows.append([])
        for column, cell in enumerate(row.cells):
            text = held.get((number, column), "") if cell.is_spanned else _line(cell.text)
            if cell.is_merge_origin:
                held |= {(number + below, column): text for below in range(1, cell.span_height)}
            rows[-1].append(text)
    return rows


def _chart(chart: Any) -> Iterator[str]:
    """The title of a chart, and its figures as a table where it has categories."""
    if chart.has_title and chart.chart_title.has_text_frame:
        yield escaped(_line(chart.chart_title.text_frame.text))
    try:
        plot = chart.plots[0]
        names = [str(category.label) for category in plot.categories]
        series = [(str(one.name), list(one.values)) for one in chart.series]
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        return  # a kind of chart that the library does not know
    rows = [["", *(name for name, _ in series)]]
    rows += [[name, *(_figure(values, i) for _, values in series)] for i, name in enumerate(names)]
    if names and series:
        yield table_as_markdown(rows)


def _figure(values: list[float | None], place: int) -> str:
    value = values[place] if place < len(values) else None
    return "" if value is None else f"{value:.12g}"


def _diagram(model: bytes) -> Iterator[str]:
    """The texts of SmartArt, as a list."""
    from pptx.oxml import parse_xml  # which resolves no entities

    texts = []
    for point in parse_xml(model).iter(f"{{{_DIAGRAM}}}pt"):
        text = _line(" ".join(one.text or "" for one in point.iter(f"{{{_DRAWING}}}t")))
        if text:
            texts.append(f"- {escaped(text)}")
    yield "\n".join(texts)
