"""The encoding that a page names in itself, which counts where the bytes are not UTF-8."""

from __future__ import annotations

import codecs
import re

HEAD_BYTES = 4096
_NAMED = re.compile(
    rb"""<(?:meta\s[^>]*?charset|\?xml\s[^>]*?encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE
)


_WIDER = {
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ks_c_5601-1989", "ksc5601"), "cp949"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    **dict.fromkeys(("shift_jis", "sjis", "x-sjis"), "cp932"),
    **dict.fromkeys(("iso-8859-1", "latin1"), "cp1252"),
}
"""What is meant by a name: browsers and mailers write the characters that vendors added, under the old one."""


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
        found = codecs.lookup(_WIDER.get(name.lower(), name))
    except (LookupError, ValueError):
        return None
    return found.name if getattr(found, "_is_text_encoding", True) else None
