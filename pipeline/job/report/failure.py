"""The last build, if it failed: `reports/failure.json` and a page beside it, until a build ends well."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline import interruption
from pipeline.errors import GateRefusedError
from pipeline.index import files, store
from pipeline.index import manifest as manifests
from pipeline.job.report.page import failure_page
from pipeline.job.report.record import REPORTS
from pipeline.job.stopwatch import StageTime, Stopwatch, peak_memory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A build that ended in an error. `status`: always `failed`, where the record of a generation has its own.

    `failed_at`: ISO time, UTC; `reason`: the error; `stages`: what was done until then.
    """

    status: str
    failed_at: str
    seconds: float
    reason: str
    stages: tuple[StageTime, ...]
    peak_bytes: int


@cache
def _adapter() -> TypeAdapter[Failure]:
    return TypeAdapter(Failure)


def record_path(index: Path) -> Path:
    """Where the record of a failed build stands."""
    return index / REPORTS / "failure.json"


def page_path(index: Path) -> Path:
    """Where its page stands."""
    return record_path(index).with_suffix(".html")


def load(index: Path) -> Failure | None:
    """The failure of the last build; `None` if it ended well, or if the record cannot be read."""
    path = record_path(index)
    try:
        return _adapter().validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s: cannot be read: %s", path, str(error).splitlines()[0])
        return None


@contextlib.contextmanager
def noted(index: Path, watch: Stopwatch) -> Iterator[None]:
    """Leave a record if what is done inside fails or is interrupted, and remove the last one if it ends well.

    What the quality gate refuses has a report of its own, and what was published has not failed. A disk that takes
    no record doesn't hide the error.
    """
    before = manifests.live_number(index)
    try:
        yield
    except GateRefusedError:
        _forget(index)
        raise
    except KeyboardInterrupt as stop:
        if manifests.live_number(index) == before:
            _note(index, watch, f"{interruption.word(stop)}; the next build resumes at the finished shards")
        else:
            _forget(index)
        raise
    except Exception as error:
        _note(index, watch, " ".join(str(error).split()) or type(error).__name__)
        raise
    _forget(index)


def _note(index: Path, watch: Stopwatch, said: str) -> None:
    reason = said.encode("utf-8", "replace").decode()  # file names may hold what is no UTF-8
    stages = tuple(watch.stages)
    _save(index, Failure("failed", store.now(), watch.seconds, reason, stages, peak_memory()))


def _save(index: Path, failure: Failure) -> None:
    page = failure_page(failure.failed_at, failure.seconds, failure.reason, failure.stages)
    try:
        files.write_file(page_path(index), page.encode("utf-8", "replace"))
        files.write_file(record_path(index), _adapter().dump_json(failure, indent=1) + b"\n")
    except OSError as error:
        log.warning("no report of this failure: %s", error)


def _forget(index: Path) -> None:
    try:
        for path in (record_path(index), page_path(index)):
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the report of an earlier failure stays: %s", error)
