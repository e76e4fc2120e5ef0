"""A command's output as a source: JSON lines."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.ingest.fetching.child import Program
from pipeline.ingest.fetching.contract import RECORDS, Fetching
from pipeline.ingest.fetching.redaction import secrets_in_command, secrets_in_environment
from pipeline.ingest.fetching.spool import spool
from pipeline.ingest.sources import FetchedFile


def fetch_command(fetching: Fetching) -> Iterator[FetchedFile]:
    """Run a command in the folder of the configuration, and spool what it writes."""
    source = fetching.source
    command = source.command
    assert command is not None
    program = Program(command, fetching.base, timeout_seconds=source.timeout_seconds)
    words = [command] if isinstance(command, str) else command
    secrets = [*secrets_in_environment(), *(value for word in words for value in secrets_in_command(word))]
    spool(fetching, program, secrets, RECORDS)
    yield fetching.records(RECORDS)
