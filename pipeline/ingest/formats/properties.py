"""The title among the properties of a PDF or an Office document."""

from __future__ import annotations

import io
import re
import zipfile
from xml.etree import ElementTree

CORE_PROPERTIES = "docProps/core.xml"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_NO_TITLE = re.compile(
    r"untitled|powerpoint presentation|(microsoft )?(word|powerpoint|excel) - .*|"
    r".*\.(docx?|pptx?|xlsx?|pdf|tex|indd)",
    re.IGNORECASE,
)
"""What programs write there by themselves: their own names, and those of files."""


def property_title(data: bytes, suffix: str) -> str:
    """The title that a file's properties name; empty if they name none or cannot be read: its text may be sound."""
    try:
        title = _pdf_title(data) if suffix == ".pdf" else _office_title(data)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the border: whatever parsers say to properties that nobody needs for the text
        return ""
    title = " ".join(title.replace("\0", "").encode("utf-8", "replace").decode("utf-8").split())
    return "" if _NO_TITLE.fullmatch(title) else title


def _pdf_title(data: bytes) -> str:
    from pdfminer.pdfdocument import PDFDocument
    from pdfminer.pdfparser import PDFParser
    from pdfminer.pdftypes import resolve1
    from pdfminer.utils import decode_text

    for properties in PDFDocument(PDFParser(io.BytesIO(data))).info:
        title = resolve1(properties.get("Title"))
        if isinstance(title, bytes):
            return decode_text(title)
    return ""


def _office_title(data: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if CORE_PROPERTIES not in archive.namelist():
            return ""
        properties = archive.read(CORE_PROPERTIES)
    if b"<!" in properties.replace(b"<!--", b""):
        return ""  # a document type or entities, which these files never have
    return ElementTree.fromstring(properties).findtext(_TITLE) or ""
