"""Which commit changed a file last: one walk through the history for all files, and then only through what is new.

What is found does not depend on the order of a walk, so that a walk of what is new, put together with what was
known, finds exactly what a walk of everything would.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pipeline.ingest.fetching.git.command import Git
from pipeline.ingest.fetching.git.tree import Entry, records

_COMMIT, _FIELD = b"\x01", b"\x02"


@dataclass(frozen=True, slots=True)
class Change:
    """The last commit that changed a file: its id, the author's name, and when it was committed (ISO, in UTC)."""

    commit: str
    author: str
    committed: str

    @property
    def order(self) -> tuple[str, str]:
        """What makes a change the last one: the time; of two in the same second, the greater id."""
        return self.committed, self.commit


@dataclass(frozen=True, slots=True)
class Explained:
    """The blob that a file has, and what changed it last; `None` if the history is cut off before that."""

    blob: str
    change: Change | None


@dataclass(frozen=True, slots=True)
class History:
    """What is known of the files of `commit`, by name. `newest`: when the last of all commits up to it was made
    (ISO, in UTC). `view`: a digest of what lets git see another history than the commits tell (shallow copies,
    grafts, replaced objects)."""

    commit: str
    view: str
    newest: str
    files: Mapping[str, Explained]

    @property
    def changes(self) -> dict[str, Change]:
        """By name, of those files that the history explains."""
        return {name: one.change for name, one in self.files.items() if one.change is not None}


def last_changes(git: Git, commit: str, wanted: Iterable[Entry], before: History | None = None) -> History:
    """For each file the newest commit that gave it the content it has. Raises `SourceError`.

    A merge counts for a file only where it gave it what none of its parents had. `before`: what is known of another
    commit, if it is; where that is an ancestor, only the commits since are walked.
    """
    blobs = {entry.name: entry.blob for entry in wanted}
    if not blobs:
        return History(commit, "", "", {})
    view = _view(git)
    if before is None or before.view != view or not _is_ancestor(git, before.commit, commit):
        found = _Found(blobs)
        found.walk(git, commit)
        return found.history(commit, view)
    found = _Found(blobs, before.newest)
    if before.commit != commit:
        found.walk(git, f"^{before.commit}", commit)
    for name, known in before.files.items():
        if known.blob == blobs.get(name):
            found.add(name, known.change)
    _look_back(git, found, before)
    return found.history(commit, view)


def _look_back(git: Git, found: _Found, before: History) -> None:
    """Find files with a content that they had not in `before`, where a commit before it may have given it first."""
    unsure = {
        name: found.changes[name].committed if name in found.changes else ""
        for name, blob in found.blobs.items()
        if (known := before.files.get(name)) is None or known.blob != blob
    }
    unsure = {name: since for name, since in unsure.items() if since <= before.newest}
    if not unsure:
        return
    earlier = _Found({name: found.blobs[name] for name in unsure})
    earlier.walk_since(git, before.commit, min(unsure.values()))
    for name, change in earlier.changes.items():
        found.add(name, change)


class _Found:
    """The last changes as far as commits were seen, in whatever order."""

    def __init__(self, blobs: Mapping[str, str], newest: str = "") -> None:
        self.blobs, self.newest = blobs, newest
        self.changes: dict[str, Change] = {}

    def add(self, name: str, change: Change | None) -> None:
        """Take a change into account."""
        known = self.changes.get(name)
        if change is not None and (known is None or known.order < change.order):
            self.changes[name] = change

    def history(self, commit: str, view: str) -> History:
        """What was found."""
        files = {name: Explained(blob, self.changes.get(name)) for name, blob in self.blobs.items()}
        return History(commit, view, self.newest, files)

    def walk(self, git: Git, *revisions: str) -> None:
        """See all commits of some revisions."""
        with git.stream(*_WALK, *revisions, "--") as output:
            self._read(output)

    def walk_since(self, git: Git, commit: str, since: str) -> None:
        """See all commits up to one that are not older, each by its own time: clocks may be wrong."""
        with git.stream("rev-list", "--timestamp", commit, "--") as output:
            dated = (line.split() for line in output)
            ids = [one for seconds, one in dated if _moment(seconds) >= since]
        with git.start(*_WALK, "--no-walk=unsorted", "--stdin", is_fed=True) as running:
            running.input.write(b"".join(one + b"\n" for one in ids))
            running.input.close()
            self._read(running.output)
            running.check()

    def _read(self, output: IO[bytes]) -> None:
        blob, header, change = "", b"", None
        newest = -1
        for record in records(output):
            if blob:  # a name, whatever it begins with
                name = os.fsdecode(record)
                if self.blobs.get(name) == blob:
                    change = change or _change(header)
                    self.add(name, change)
                blob = ""
                continue
            line = record.lstrip(b"\n")  # one stands before the first file of a commit
            if line.startswith(b":"):
                blob = line.split()[-2].decode("ascii")
            elif line.startswith(_COMMIT):
                header, change = line, None
                newest = max(newest, int(line.rpartition(_FIELD)[2]))
        if newest >= 0:
            self.newest = max(self.newest, _moment(newest))


_WALK = (
    "log", "-z", "--raw", "-c", "--root", "--no-renames", "--no-abbrev", "--no-color", "--no-mailmap", "--no-notes",
    "--ignore-submodules=none", "--encoding=UTF-8", "--no-decorate", "--format=%x01%H%x02%an%x02%ct",
)  # fmt: skip


def _change(record: bytes) -> Change:
    commit, _, rest = record[1:].partition(_FIELD)
    author, _, seconds = rest.rpartition(_FIELD)
    return Change(commit.decode("ascii"), author.decode("utf-8", "replace"), _moment(seconds))


def _moment(seconds: int | bytes) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_ancestor(git: Git, old: str, new: str) -> bool:
    """Whether one commit is the other, or leads to it; not if the repository has it no more."""
    if old == new:
        return True
    with git.start("merge-base", "--is-ancestor", old, new) as running:
        running.output.read()
        return running.process.wait() == 0


def _view(git: Git) -> str:
    places = git.run("rev-parse", "--git-path", "shallow", "--git-path", "info/grafts")
    digest = hashlib.blake2b(git.run("for-each-ref", "refs/replace"), digest_size=16)
    for place in places.splitlines():
        try:
            digest.update(b"\0" + Path(os.fsdecode(place)).read_bytes())
        except OSError:
            digest.update(b"\1")
    return digest.hexdigest()
