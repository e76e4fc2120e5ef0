"""The words in names of programs: `parse_json`, `HTTPServer` and `readFile` are found by their parts, too."""

from __future__ import annotations

import re

LONGEST = 64
"""Characters of a name; what is longer is a blob."""

_NAME = re.compile(
    r"(?<![A-Za-z0-9_])(?=[A-Za-z0-9]{0,62}(?:_|[a-z][A-Z]|[A-Z]{2}[a-z]{2}))"
    rf"[A-Za-z0-9_]{{2,{LONGEST}}}(?![A-Za-z0-9_])"
)
_PART = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+")


def name_parts(text: str) -> list[str]:
    """The parts of all names in a text, in lower case, in order; none of one character."""
    return [
        part.lower() for name in _NAME.findall(text) for part in _PART.findall(name) if 1 < len(part) < len(name)
    ]
