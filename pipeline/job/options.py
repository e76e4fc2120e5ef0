"""What one build or ingest is asked for beyond its configuration, as a record that checks itself."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Self, TypedDict

from pipeline.arguments import flag, shown, text
from pipeline.errors import ConfigError

_CLUSTER = re.compile(r"ray|ray://[^\s/@]+")


class IngestKeywords(TypedDict, total=False):
    """The fields of `IngestOptions`, as keywords of a call."""

    full: bool
    strict: bool
    rehash: bool
    allow_deletes: bool


class BuildKeywords(IngestKeywords, total=False):
    """The fields of `BuildOptions`, as keywords of a call."""

    note: str
    cluster: str


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """`full`: take nothing over from the live generation. `strict`: refuse the run if any document is rejected.
    `rehash`: read every file, also those that look as they did when they were last read. `allow_deletes`: lift the
    guard `max_delete_ratio`.

    Raises `ConfigError` for a value that is no flag.
    """

    full: bool = False
    strict: bool = False
    rehash: bool = False
    allow_deletes: bool = False

    def __post_init__(self) -> None:
        for name in ("full", "strict", "rehash", "allow_deletes"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))

    @classmethod
    def of(cls, options: Self | None, **keywords: Any) -> Self:
        """`options`, or the defaults, with what the keywords name in its place. Raises `ConfigError`."""
        if options is not None and not isinstance(options, cls):
            raise ConfigError(f"options={shown(options)}: give {cls.__name__}, or each option by its own name")
        return dataclasses.replace(options or cls(), **keywords)


@dataclass(frozen=True, slots=True)
class BuildOptions(IngestOptions):
    """`note`: kept in the generation, for whoever asks later. `cluster`: whose workers encode, `ray` or
    `ray://HOST:PORT`; empty: this machine does. The others are those of an ingest."""

    note: str = ""
    cluster: str = ""

    def __post_init__(self) -> None:
        IngestOptions.__post_init__(self)  # `super()` does not find the class that slots make of this one
        object.__setattr__(self, "note", text("note", self.note))
        object.__setattr__(self, "cluster", text("cluster", self.cluster))
        if self.cluster and not _CLUSTER.fullmatch(self.cluster):
            raise ConfigError(f"cluster={shown(self.cluster)}: give ray, or ray://HOST:PORT")
