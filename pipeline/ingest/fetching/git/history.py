"""Which commit changed a file last: one walk through the history, for all files at once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.ingest.fetching.git.command import Git
from pipeline.ingest.fetching.git.tree import Entry, records

_COMMIT, _FIELD = b"\x01", b"\x02"


@dataclass(frozen=True, slots=True)
class Change:
    """The last commit that changed a file: its id, the author's name, and when it was committed (ISO, in UTC)."""

    commit: str
    author: str
    committed: str


def last_changes(git: Git, commit: str, wanted: Iterable[Entry]) -> dict[str, Change]:
    """For each file, by name, the newest commit that gave it the content it has. Raises `SourceError`.

    A merge counts for a file only where it gave it what none of its parents had. A file that a cut-off history does
    not explain is left out.
    """
    missing = {entry.name: entry.blob for entry in wanted}
    found: dict[str, Change] = {}
    change: Change | None = None
    if not missing:
        return found
    with git.stream(*_WALK, commit, "--") as output:
        blob = ""
        for record in records(output):
            if blob:  # a name, whatever it begins with
                if change is not None and missing.get(name := os.fsdecode(record)) == blob:
                    found[name] = change
                    del missing[name]
                    if not missing:
                        output.close()
                        break
                blob = ""
                continue
            line = record.lstrip(b"\n")  # one stands before the first file of a commit
            if line.startswith(b":"):
                blob = line.split()[-2].decode("ascii")
            elif line.startswith(_COMMIT):
                change = _change(line)
    return found


_WALK = (
    "log", "-z", "--raw", "-c", "--root", "--no-renames", "--no-abbrev", "--no-color", "--no-mailmap", "--no-notes",
    "--ignore-submodules=none", "--encoding=UTF-8", "--no-decorate", "--format=%x01%H%x02%an%x02%ct",
)  # fmt: skip


def _change(record: bytes) -> Change:
    commit, _, rest = record[1:].partition(_FIELD)
    author, _, seconds = rest.rpartition(_FIELD)
    moment = datetime.fromtimestamp(int(seconds), UTC)
    return Change(commit.decode("ascii"), author.decode("utf-8", "replace"), moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
