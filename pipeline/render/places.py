"""Where in its document a passage stands."""

from __future__ import annotations

from pipeline.names import LINES, PAGES
from pipeline.records import Metadata


def place_of(metadata: Metadata, page: str = "p. {}", pages: str = "pp. {}–{}") -> str:
    """What follows a document's name: its pages, or its lines, as editors read them; empty if it has neither."""
    for names, one, several in ((PAGES, f", {page}", f", {pages}"), (LINES, ":{}", ":{}-{}")):
        first, last = map(metadata.get, names)
        if isinstance(first, int) and isinstance(last, int):
            return one.format(first) if first == last else several.format(first, last)
    return ""
