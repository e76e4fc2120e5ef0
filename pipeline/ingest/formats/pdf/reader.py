"""A PDF → a document: its text as Markdown, with the offsets of its pages and its title."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line, oversize, refuse_oversize
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.office.properties import usable_title
from pipeline.ingest.formats.pdf.blocks import Written, plain, write
from pipeline.ingest.formats.pdf.furniture import without_furniture
from pipeline.ingest.formats.pdf.layout import Line, lines_of
from pipeline.ingest.formats.pdf.page import Page, read_page
from pipeline.ingest.formats.pdf.scans import Scans
from pipeline.ingest.formats.pdf.tables import tables_of
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue

logger = logging.getLogger(__name__)

INSTALL = "pip install 'hybrid-pipeline[docs]'"
MOST_OUTLINE = 20_000
SHOWN_PAGES = 8


def read_pdf(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    data = read_bytes(file.path, settings)
    scans = Scans(settings, file.label)
    written, metadata = pdf_as_markdown(data, file.label, max_bytes(settings), scans)
    return Document(file.name, written.text, metadata, is_markdown=True, pages=tuple(written.pages))


def pdf_as_markdown(data: bytes, label: str, limit: int, scans: Scans) -> tuple[Written, dict[str, MetadataValue]]:
    """The text of a PDF, of `limit` bytes at most, and its metadata. `label`: what warnings call it.

    `scans`: what reads its pages that have images and no text.

    Raises `UnreadableError`, with the install command if the extra is missing.
    """
    try:
        import pypdfium2
    except ImportError:
        raise UnreadableError(f".pdf needs an extra: {INSTALL}") from None
    if not data:
        raise UnreadableError("empty")
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise UnreadableError(_reason(error)) from None
    try:
        return _read(pdf, label, limit, scans)
    except pypdfium2.PdfiumError as error:
        raise UnreadableError(f"broken .pdf file: {first_line(error)}") from error
    finally:
        pdf.close()


def _reason(error: Exception) -> str:
    reason = first_line(error)
    if "password" in reason.lower():
        return "encrypted: it opens with a password only; save it without one"
    return f"broken .pdf file: {reason}"


def _read(pdf: Any, label: str, limit: int, scans: Scans) -> tuple[Written, dict[str, MetadataValue]]:
    pages: list[list[Line]] = []
    heights: list[float] = []
    pictured: set[int] = set()
    characters = 0

    def lines_on(page: Page) -> list[Line]:
        nonlocal characters
        tables, runs = tables_of(page)
        lines = lines_of(runs, tables)
        if page.aside:
            lines.append(_aside(page, len(lines)))
        characters += sum(len(line.text) for line in lines)
        if characters > limit:
            raise oversize(limit)
        return lines

    for number in range(len(pdf)):
        with closing(pdf[number]) as opened:
            page = read_page(opened)
        if page.has_images:
            pictured.add(number)
        pages.append(lines_on(page))
        heights.append(page.height)
    kept = without_furniture(pages, heights)
    bare = [number for number in sorted(pictured) if not kept[number]]
    by_ocr = 0
    for number in bare.copy():
        with closing(pdf[number]) as opened:
            seen = scans.read(opened, number + 1)
        if seen is None:
            break
        if seen.page.runs:
            by_ocr += 1
            bare.remove(number)
            pages[number], heights[number] = lines_on(seen.page), seen.page.height
    if by_ocr:
        kept = without_furniture(pages, heights)
    written = write(kept, _outline(pdf))
    if not written.text and (bare or any(pages)):
        raise UnreadableError(_scanned(len(bare), len(pages), scans.cure))
    if bare:
        shown = ", ".join(str(number + 1) for number in bare[:SHOWN_PAGES]) + (
            ", …" if len(bare) > SHOWN_PAGES else ""
        )
        why = scans.cure or "OCR finds nothing there that it is sure of"
        logger.warning(
            "%s: %d of %d pages are images without text: %s; %s", label, len(bare), len(pages), shown, why
        )
    text = written.text.encode("utf-8", "replace").decode("utf-8")
    refuse_oversize(text, limit)
    metadata: dict[str, MetadataValue] = {"ocr": True} if by_ocr else {}
    title = usable_title(pdf.get_metadata_value("Title"))
    return Written(text, written.pages), ({"title": title} if title else {}) | metadata


def _aside(page: Page, column: int) -> Line:
    """Words that stand at an angle, as a column of their own behind the others."""
    return Line(" ".join(page.aside), 0.0, page.height, 0.0, page.height, 0.0, column=column)


def _scanned(bare: int, pages: int, cure: str) -> str:
    why = cure or "OCR finds nothing there that it is sure of"
    return f"scanned, no text: {bare} of {pages} pages are images; {why}"


def _outline(pdf: Any) -> dict[int, dict[str, int]]:
    """The document's own outline: by page, the titles that begin there, as they are compared, and their levels."""
    found: dict[int, dict[str, int]] = {}
    for number, entry in enumerate(pdf.get_toc()):
        if number == MOST_OUTLINE:
            break
        destination = entry.get_dest()
        page = destination.get_index() if destination is not None else None
        title = plain(entry.get_title())
        if page is not None and title:
            found.setdefault(page, {})[title] = entry.level + 1
    return found
