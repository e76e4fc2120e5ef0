"""Records whose text is code: it stands in a fence with its language, as code in files does.

Encoders have read fenced code with the language's name in many a page; bare code tells them less of what it is.
"""

from __future__ import annotations

import re

from pipeline.ingest.formats.markup import fenced

AUTO, NONE = "auto", "none"
"""What `sources[].code` may be besides a language: Python is recognised; no record is code."""

_NAMED = r"(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|class[ \t]+\w+[ \t]*[(:]"
_DEFINES = re.compile(_NAMED)
_FLUSH = re.compile(rf"{_NAMED}|@[A-Za-z_]|#|[)\]}}]")
"""How a line of a definition may begin that is not indented."""


def fenced_record(text: str, code: str) -> str | None:
    """The text of a record in a fence, or `None` where it is no code, or is fenced already.

    `code`: a language, `AUTO` or `NONE`.
    """
    if code == NONE or not text.strip() or text.lstrip().startswith("```"):
        return None
    if code == AUTO:
        if not is_python(text):
            return None
        code = "python"
    return fenced(text.strip("\n"), code)


def is_python(text: str) -> bool:
    """Whether a text is functions and classes of Python and nothing else.

    Told by its lines: the first that is neither a comment nor a decorator defines something, those below it are
    indented or begin so too. It is not parsed: what code of other versions of Python is, is found as well.
    """
    lines = [line for line in text.expandtabs().split("\n") if line.strip()]
    if len(lines) < 2:
        return False
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    flush = [line[margin:] for line in lines if not line[margin].isspace()]
    first = next((line for line in flush if line[0] not in "@#"), "")
    return _DEFINES.match(first) is not None and all(map(_FLUSH.match, flush)) and len(flush) < len(lines)
