"""Which files of a commit are wanted: globs, hidden files and links, as in a folder."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pipeline.config import SourceSettings
from pipeline.ingest.fetching.git.tree import Entry, Kind
from pipeline.ingest.sources import compile_glob
from pipeline.ingest.suffixes import SUFFIXES, entry_suffix, is_package_mark

log = logging.getLogger(__name__)

MOST_LINKS = 40
"""So many links in one path are a loop, as systems have it."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A file to take: under which name, the entry that has its content, and why it cannot be read, if so."""

    name: str
    entry: Entry
    problem: str | None = None


class Globs:
    """The names that a source wants."""

    def __init__(self, source: SourceSettings) -> None:
        """Raises `SourceError` for a pattern that is none."""
        self._include = [compile_glob(pattern) for pattern in source.include]
        self._exclude = [compile_glob(pattern) for pattern in source.exclude]

    def visible(self, name: str) -> bool:
        """Whether neither the file nor a folder that it is in is hidden or excluded."""
        parts = name.split("/")
        if any(part.startswith(".") for part in parts):
            return False
        above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        return not any(pattern.match(path) for pattern in self._exclude for path in above)

    def takes(self, entry: Entry, name: str) -> bool:
        """Whether an entry is a file that is to be read under this name."""
        return entry.kind is Kind.FILE and self.wanted(name) and not is_package_mark(name, entry.size)

    def wanted(self, name: str) -> bool:
        """Whether files of this name are to be read."""
        if not self.visible(name):
            return False
        if self._include:
            return any(pattern.match(name) for pattern in self._include)
        return entry_suffix(name) in SUFFIXES


def chosen(
    entries: Iterable[Entry], source: SourceSettings, target: Callable[[Entry], str], label: str
) -> list[Chosen]:
    """The files to take, by name. `target`: where a link leads; `label`: what the log calls the repository.

    A file is taken once, under its own name if that is wanted. A link out of the repository leads nowhere.
    """
    globs, held = Globs(source), {entry.name: entry for entry in entries}
    taken = {entry.name: Chosen(entry.name, entry) for entry in held.values() if globs.takes(entry, entry.name)}
    contents = set(taken)
    for entry in held.values():
        if entry.kind is Kind.SUBMODULE and globs.visible(entry.name):
            log.warning(
                "%s: the submodule %s is not read; give its repository a source of its own, or `exclude` it here",
                label,
                entry.name,
            )
        elif entry.kind is Kind.LINK and globs.visible(entry.name):
            for one in _behind(entry, held, globs, target):
                if one.problem is not None:
                    taken[one.name] = one
                elif one.entry.name not in contents:
                    contents.add(one.entry.name)
                    taken[one.name] = one
    return [taken[name] for name in sorted(taken)]


def _behind(link: Entry, held: dict[str, Entry], globs: Globs, target: Callable[[Entry], str]) -> Iterator[Chosen]:
    """The files that a link leads to, under its name."""
    path = resolved(link.name, held, target)
    found = held.get(path) if path is not None else None
    if found is not None and found.kind is Kind.FILE:
        if globs.takes(found, link.name):
            yield Chosen(link.name, found)
        return
    below = f"{path}/" if path else ""
    inside = [] if path is None else [entry for entry in held.values() if entry.name.startswith(below)]
    for entry in inside:
        if globs.takes(entry, name := f"{link.name}/{entry.name[len(below) :]}"):
            yield Chosen(name, entry)
    if not inside and globs.wanted(link.name):
        yield Chosen(link.name, link, f"a link to {target(link)}, which is no file of the repository")


def resolved(name: str, held: dict[str, Entry], target: Callable[[Entry], str]) -> str | None:
    """The path that a name stands for when all links in it are followed; `None` if it leads out or in a circle."""
    parts, path, links = name.split("/")[::-1], "", 0
    while parts:
        part = parts.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not path:
                return None
            path = posixpath.dirname(path)
            continue
        path = f"{path}/{part}" if path else part
        entry = held.get(path)
        if entry is not None and entry.kind is Kind.LINK:
            links += 1
            place = target(entry)
            if links > MOST_LINKS or place.startswith("/"):
                return None
            path = posixpath.dirname(path)
            parts += place.split("/")[::-1]
    return path
