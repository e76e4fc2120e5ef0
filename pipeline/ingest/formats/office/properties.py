"""The title among the properties of an Office document or a PDF."""

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


def property_title(data: bytes) -> str:
    """The title that an Office file's properties name; empty if none or broken: its text may be sound."""
    try:
        return usable_title(_office_title(data))
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the border: whatever parsers say to properties that nobody needs for the text
        return ""


def usable_title(title: str) -> str:
    """A title on one line; empty if a program wrote it there by itself."""
    title = " ".join(title.replace("\0", "").encode("utf-8", "replace").decode("utf-8").split())
    return "" if _NO_TITLE.fullmatch(title) else title


def _office_title(data: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if CORE_PROPERTIES not in archive.namelist():
            return ""
        properties = archive.read(CORE_PROPERTIES)
    if b"<!" in properties.replace(b"<!--", b""):
        return ""  # a document type or entities, which these files never have
    return ElementTree.fromstring(properties).findtext(_TITLE) or ""
