"""What a message repeats of the one that it answers: lines after `>`, a copy below a line that says so."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"^\s{0,3}>")
_INTRODUCED = re.compile(
    r"^.{0,300}(?:\bwrote|\bschrieb|\ba écrit|\bescribió|\bha scritto|님이 (?:작성|썼)[^:]*|작성)\s*:\s*\**$",
    re.IGNORECASE,
)
_BEGINNING = re.compile(r"^\W{0,4}(?:On\b|Am\b|Le\b|El\b|Il\b|\d{4}[년/.-])")
_COPY = re.compile(
    r"^\W*(?:-{2,}\s*(?:original message|original appointment|forwarded message|ursprüngliche nachricht|"
    r"message d.origine|원본 메일|원본 메시지|원래 메시지|전달된 메시지)\s*-{2,}|begin forwarded message:)\W*$",
    re.IGNORECASE,
)
_FORWARDED = re.compile(r"forwarded|전달된", re.IGNORECASE)
_HEADER = re.compile(
    r"^\W{0,4}(?:from|sent|to|cc|subject|date|von|gesendet|an|betreff|보낸 ?사람|보낸 ?날짜|날짜|받는 ?사람|제목)"
    r"\W{0,4}:",
    re.IGNORECASE,
)
_SIGNATURE = "-- "


def without_quotes(text: str) -> str:
    """A message without what it quotes: blocks of `>` with their introductions, and copies below an answer.

    A forwarded message stays: it is what is sent. So does all of a message that is nothing but quotes.
    """
    lines = text.split("\n")
    end = _copy_begins(lines)
    kept: list[str] = []
    for line in lines[:end]:
        if line == _SIGNATURE:
            break
        if _QUOTED.match(line):
            _drop_introduction(kept)
        else:
            kept.append(line)
    found = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    return found or text.strip()


def _copy_begins(lines: list[str]) -> int:
    """The line with which a copy of an earlier message begins; the end if there is none."""
    for number, line in enumerate(lines):
        if _COPY.match(line):
            if _FORWARDED.search(line):
                return len(lines)
            return number
        if _HEADER.match(line) and sum(bool(_HEADER.match(other)) for other in lines[number : number + 8]) >= 3:
            before = "".join(lines[:number]).strip()
            return number if before else len(lines)
        if _INTRODUCED.match(line) and _BEGINNING.match(line) and not _quoted_below(lines, number):
            return number
    return len(lines)


def _quoted_below(lines: list[str], number: int) -> bool:
    """Whether `>` marks what an introduction introduces: then answers may stand between."""
    following = next((line for line in lines[number + 1 :] if line.strip()), "")
    return bool(_QUOTED.match(following))


def _drop_introduction(kept: list[str]) -> None:
    """Take the line away that introduces a quote, which a program may have folded once."""
    place = len(kept) - 1
    while place >= 0 and not kept[place].strip():
        place -= 1
    for first in (place, place - 1):
        if first >= 0 and _INTRODUCED.match(" ".join(kept[first : place + 1])):
            if _BEGINNING.match(kept[first]) or first == place:
                del kept[first:]
            return
