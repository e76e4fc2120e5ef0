"""What a program writes, spooled into a mirror, and believed only if the program says that it went well."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from contextlib import closing

from pipeline.errors import SourceError
from pipeline.ingest.fetching.child import Ended, Program, ending, output_of
from pipeline.ingest.fetching.contract import Fetching
from pipeline.ingest.fetching.redaction import redacted
from pipeline.ingest.formats.lines import max_bytes

_SHOWN_CHARS = 60


def spool(
    fetching: Fetching,
    program: Program,
    secrets: list[str],
    file: str,
    explained: Callable[[Ended], str | None] = lambda ended: None,
) -> None:
    """Have a file of the mirror hold what a program writes.

    `secrets`: what no error shows. `explained`: says of a program that failed what the matter is and how to mend
    it, if that is known better than by what it wrote to standard error.
    Raises `SourceError` unless it ends well and wrote JSON lines.
    """
    label, ended = fetching.source.label, Ended()
    lines = LineCheck(max_bytes(fetching.settings))
    with fetching.mirror.stream(file) as stream, closing(output_of(label, program, ended)) as output:
        for block in output:
            stream.write(block)
            fetching.update(block.count(b"\n"))
            if (wrong := lines.problem(block)) is not None:
                raise SourceError(_not_json_lines(label, wrong, secrets))
        how = ending(ended, program)
        if how is not None:
            if (explanation := explained(ended)) is not None:
                raise SourceError(f"{label}: {redacted(explanation, secrets)}")
            said = redacted(ended.last_words, secrets)
            because = f"; it said: {said}" if said else "; it said nothing on standard error"
            raise SourceError(
                f"{label}: {how}{because}; nothing of it was taken. Run it by hand in {program.folder}, and mend it"
            )
        if (wrong := lines.problem_at_end()) is not None:
            raise SourceError(_not_json_lines(label, wrong, secrets))


def _not_json_lines(label: str, wrong: str, secrets: list[str]) -> str:
    return (
        f"{label}: {redacted(wrong, secrets)}; nothing of it was taken. It has to write one JSON object a line, "
        'such as {"id": "a", "text": "…"}, to standard output, and all else to standard error'
    )


class LineCheck:
    """Whether output is JSON lines at all: its first line is an object, and its last one is whole.

    What is between is the reader's affair, which rejects a line that cannot be read and says why. Memory: a line,
    of at most `most` bytes. A longer one is the reader's affair, too.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = b""
        """The line that has not ended yet, as far as it is looked at."""
        self._is_checked = False

    def problem(self, block: bytes) -> str | None:
        """What is wrong up to here, with `block` as the next output; `None` if nothing is."""
        end = block.rfind(b"\n") + 1
        if not self._is_checked:
            *lines, self._open = (self._open + block).split(b"\n")
            first = next(filter(None, map(_stripped, lines)), b"")
            self._is_checked = bool(first)
            wrong = _wrong(first) if 0 < len(first) <= self._most else None
            if wrong is None and not first and _stripped(self._open)[:1] not in (b"{", b""):
                wrong = _wrong(_stripped(self._open))
            self._open = self._open[: self._most + 1]
            return wrong and f"its first line {wrong}"
        self._open = block[end : end + self._most + 1] if end else self._open + block[: self._room]
        return None

    @property
    def _room(self) -> int:
        return max(0, self._most + 1 - len(self._open))

    def problem_at_end(self) -> str | None:
        """What is wrong with the last line, where no line end follows it."""
        line = _stripped(self._open)
        if not line or len(line) > self._most or (wrong := _wrong(line)) is None:
            return None
        return f"its last line {wrong}, with no line end behind it"


def _stripped(line: bytes) -> bytes:
    return line.removeprefix(codecs.BOM_UTF8).strip()


def _wrong(line: bytes) -> str | None:
    """Why a line is no record. In which encoding its strings are is the reader's affair."""
    shown = line[:_SHOWN_CHARS].decode("utf-8", "backslashreplace")
    shown = shown + "…" if len(line) > _SHOWN_CHARS else shown
    try:
        record = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return f"is no JSON ({shown!r})"
    return None if isinstance(record, dict) else f"is JSON, but no object ({shown!r})"
