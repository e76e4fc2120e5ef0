"""What a commit holds: names, kinds and blob ids, with no file read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import IO

from pipeline.ingest.fetching.git.command import BLOCK, Git


class Kind(Enum):
    """What an entry of a tree is."""

    FILE = "file"
    LINK = "link"
    SUBMODULE = "submodule"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a commit. `name`: its path, undecodable bytes as Python has them in names; `size` in bytes."""

    name: str
    kind: Kind
    blob: str
    size: int


_KINDS = {b"120000": Kind.LINK, b"160000": Kind.SUBMODULE}


def entries(git: Git, commit: str) -> list[Entry]:
    """All files of a commit, sorted by name. Raises `SourceError`."""
    with git.stream("ls-tree", "-r", "-z", "-l", "--full-tree", commit) as output:
        return sorted((_entry(line) for line in records(output)), key=lambda entry: entry.name)


def _entry(line: bytes) -> Entry:
    about, _, name = line.partition(b"\t")
    mode, _, blob, size = about.split()
    return Entry(
        os.fsdecode(name), _KINDS.get(mode, Kind.FILE), blob.decode("ascii"), int(size) if size.isdigit() else 0
    )


def records(stream: IO[bytes]) -> Iterator[bytes]:
    """The parts of a stream that end in a zero byte."""
    rest = b""
    while block := stream.read(BLOCK):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
    if rest:
        yield rest
