"""Where a document is from, as those may know it who are not on this machine."""

from __future__ import annotations

from pathlib import PurePath


def shown_source(source: str) -> str:
    """The file that a document came from as the configuration names it; of an absolute path the name alone."""
    path = PurePath(source)
    return path.name if path.is_absolute() or ".." in path.parts else source
