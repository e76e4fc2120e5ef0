"""Subtitles (SubRip) → prose: what is said, without numbers, times and marks of layout; pauses part paragraphs."""

from __future__ import annotations

import html
import re

from pipeline.ingest.formats.decoding import UnreadableError

PAUSE_SECONDS = 4.0
_TIME = re.compile(
    r"^\s*(\d{1,3}):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d{1,3}):(\d\d):(\d\d)[,.](\d{1,3}).*$", re.MULTILINE
)
_MARKS = re.compile(r"</?[A-Za-z][^<>\n]{0,100}>|\{\\[^{}\n]{0,100}\}")
_NUMBER = re.compile(r"\n\s*\d+\s*\Z")


def subtitles(text: str) -> str:
    """The words, a line each. Raises `UnreadableError` if there are no times."""
    cues = list(_TIME.finditer(text))
    if not cues:
        raise UnreadableError("no subtitles: not one line with times, such as 00:00:01,000 --> 00:00:02,500")
    parts: list[str] = []
    earlier, last_line = 0.0, ""
    for place, cue in enumerate(cues):
        end = cues[place + 1].start() if place + 1 < len(cues) else len(text)
        said = text[cue.end() : end]
        if place + 1 < len(cues):
            said = _NUMBER.sub("", f"\n{said.rstrip()}")
        line = " ".join(html.unescape(_MARKS.sub("", said).replace("\\N", " ")).split())
        begin, until = _seconds(cue.groups()[:4]), _seconds(cue.groups()[4:])
        if line and line != last_line:
            parts.append(("\n" if parts and begin - earlier >= PAUSE_SECONDS else "") + line)
            last_line = line
        earlier = until
    return "\n".join(parts)


def _seconds(fields: tuple[str, ...]) -> float:
    hours, minutes, seconds, rest = fields
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(rest.ljust(3, "0")) / 1000
