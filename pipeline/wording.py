"""Words for a terminal: text of documents made harmless, and counts with their noun."""

from __future__ import annotations

import re

_BLANKS = re.compile(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """`text` as a terminal may have it, on one line and character by character, so that positions in it stay true.

    Line ends and tabs become blanks. Other control characters (an escape sequence could rewrite the screen),
    overrides of the writing direction (they could show a name that is none) and lone surrogates become `�`.
    """
    return _CONTROLS.sub("\ufffd", _BLANKS.sub(" ", text))


def counted(count: int, noun: str) -> str:
    """`1 chunk`, `2,000 chunks`, `3 queries`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{count:,} {noun}s"
