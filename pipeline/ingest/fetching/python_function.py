"""A Python function as a source. It runs in a process of its own, so that it can be ended and harms no build."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.ingest.fetching import calling
from pipeline.ingest.fetching.child import Ended, Program
from pipeline.ingest.fetching.contract import Fetching
from pipeline.ingest.fetching.redaction import secrets_in_environment
from pipeline.ingest.fetching.spool import spool
from pipeline.ingest.formats.items import ITEMS
from pipeline.ingest.sources import FetchedFile

_FILE = f"records{ITEMS}"


def fetch_function(fetching: Fetching) -> Iterator[FetchedFile]:
    """Call the function, found from the folder of the configuration or installed, and spool what it gives."""
    source = fetching.source
    assert source.python is not None
    path = os.pathsep.join([str(fetching.base), *(entry or str(Path.cwd()) for entry in sys.path)])
    program = Program(
        [sys.executable, "-P", "-m", calling.__name__, source.python],
        fetching.base,
        {**os.environ, "PYTHONPATH": path},
        source.timeout_seconds,
    )
    spool(fetching, program, secrets_in_environment(), _FILE, _explained)
    yield fetching.records(_FILE)


def _explained(ended: Ended) -> str | None:
    if ended.code != calling.FAILED:
        return None
    lines = ended.said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else None
