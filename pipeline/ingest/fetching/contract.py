"""What a kind of source that is no path offers: a function that brings its mirror up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import IngestSettings, SourceSettings
from pipeline.ingest.fetching.mirror import Mirror
from pipeline.ingest.sources import FetchedFile

RECORDS = "records.jsonl"
"""The file in the mirror of a source whose records are JSON lines."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """A source to fetch. `base`: the folder that the configuration stands in, absolute. `update`: takes how much
    more was fetched, in whatever unit, for the progress bar."""

    source: SourceSettings
    base: Path
    mirror: Mirror
    settings: IngestSettings
    update: Callable[[float], object]

    def records(self, file: str) -> FetchedFile:
        """The one file of a source of records: one without an id is called by the source's name and its line."""
        return FetchedFile(self.mirror.keep(file), self.source.called, self.source.label)


Fetcher = Callable[[Fetching], Iterable[FetchedFile]]
"""Brings a mirror up to date and yields the files in it that are to be read, in a deterministic order.

Raises `SourceError`, which names the source, the cause and the cure, if anything is amiss with the source as a
whole: nothing of the build is believed then, and nothing is deleted. Labels are those of no other file.
"""
