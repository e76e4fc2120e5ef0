"""The encoding that a page names in itself, which counts where the bytes are not UTF-8."""

from __future__ import annotations

import codecs
import re

HEAD_BYTES = 4096
_NAMED = re.compile(
    rb"""<(?:meta\s[^>]*?charset|\?xml\s[^>]*?encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE
)


def declared_encoding(data: bytes) -> list[str]:
    """The codec that the head of a page names, as a list; empty if it names none that Python has."""
    match = _NAMED.search(data[:HEAD_BYTES])
    if match is None:
        return []
    found = codec_named(match[1].decode("ascii"))
    return [found] if found is not None else []


def codec_named(name: str) -> str | None:
    """The codec that the web calls by this name; `None` if Python has none."""
    try:
        found = codecs.lookup({"euc-kr": "cp949", "ks_c_5601-1987": "cp949"}.get(name.lower(), name))
    except (LookupError, ValueError):
        return None
    return found.name if getattr(found, "_is_text_encoding", True) else None
