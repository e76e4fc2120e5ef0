"""The lines that `--log-json` writes to standard error: one JSON object a line, for log collectors."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from pipeline.wording import counted, printable

if TYPE_CHECKING:
    from pipeline.job.stopwatch import StageTime

FIELDS = "fields"
"""Attribute of a log record that holds what stands beside its message."""

log = logging.getLogger("pipeline")


class JsonLines(logging.Formatter):
    """A log record as one line of JSON: `time` (UTC), `level`, `logger`, `message`, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class PlainLines(logging.Formatter):
    """A log record as a line for people, whatever is in the names of files."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """One line; a traceback follows on lines of its own."""
        return printable(super().formatMessage(record))


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, to be told from those that others add."""


def configure(as_json: bool, level: int) -> None:
    """Send logs to standard error. `level` is that of this package; libraries are heard from warnings on.

    With `as_json` the package tells what it does whatever the level, unless that is for errors only.
    """
    handler = _Handler(sys.stderr)
    if as_json:
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(PlainLines("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    log.setLevel(logging.INFO if as_json and level < logging.ERROR else level)


def tell(level: int, message: str, **fields: object) -> None:
    """Log a message with fields beside it."""
    log.log(level, "%s", message, extra={FIELDS: fields})


def tell_stage(stage: StageTime) -> None:
    """Log a finished stage."""
    tell(
        logging.INFO,
        f"{stage.name}: {counted(stage.units, stage.unit)} in {stage.seconds:.3f} s",
        event="stage",
        stage=stage.name,
        units=stage.units,
        unit=stage.unit,
        seconds=round(stage.seconds, 3),
        peak_bytes=stage.peak_bytes,
    )
