"""The files of a repository at one commit, in the mirror by the id of their content."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pipeline.errors import SourceError
from pipeline.ingest.fetching.contract import Fetching
from pipeline.ingest.fetching.git.blobs import LFS_MOST_BYTES, Blobs, is_lfs_pointer
from pipeline.ingest.fetching.git.command import Git
from pipeline.ingest.fetching.git.history import Change, last_changes
from pipeline.ingest.fetching.git.noted import load_history, save_history
from pipeline.ingest.fetching.git.repository import (
    HEAD,
    check_place,
    check_ref,
    commit_of,
    fetched,
    is_remote,
    open_local,
)
from pipeline.ingest.fetching.git.selection import Chosen, chosen
from pipeline.ingest.fetching.git.tree import Entry, entries
from pipeline.ingest.fetching.kept import Kept
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.text_files import too_large
from pipeline.ingest.sources import FetchedFile
from pipeline.ingest.suffixes import entry_suffix
from pipeline.records import Metadata

COPIES = "repository"
"""Folder in the mirror with the copy of a repository that is elsewhere."""
_STREAMED = frozenset(
    {".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".mbox", ".gz", ".zst", ".zip", ".tar", ".tgz"}
)
"""Suffixes of files that may be larger than a document, as they hold many."""


def fetch_git(fetching: Fetching) -> Iterator[FetchedFile]:
    """The files that the source wants of the commit that its `ref` names now. Unchanged ones are not read again."""
    source = fetching.source
    assert source.git is not None
    git, ref = _opened(fetching, source.git), source.ref or HEAD
    commit = commit_of(git, ref, is_fetched=is_remote(source.git))
    kept = Kept(fetching.mirror)
    with Blobs(git) as blobs:

        def target(entry: Entry) -> str:
            return os.fsdecode(blobs.content(entry.blob)) if entry.size <= LFS_MOST_BYTES * 4 else "/"

        wanted = chosen(entries(git, commit), source, target, source.label)
        if not wanted:
            what = ", ".join(source.include) if source.include else "what there are readers for"
            raise SourceError(
                f"{source.label}: no file of {ref} matches {what}; correct `ref`, or `include` as in `**/*.md`"
            )
        entries_wanted = [one.entry for one in wanted if one.problem is None]
        history = last_changes(git, commit, entries_wanted, load_history(fetching.mirror))
        changes = history.changes
        for one in wanted:
            yield _file(fetching, kept, blobs, one, f"{source.git}@{ref}/{one.name}", changes)
            fetching.update(1)
    kept.save()
    save_history(fetching.mirror, history)


def _opened(fetching: Fetching, place: str) -> Git:
    label, ref = fetching.source.label, fetching.source.ref or HEAD
    check_place(place)
    check_ref(label, ref)
    if is_remote(place):
        return fetched(fetching.mirror.keep_folder(COPIES), place, ref, label)
    return open_local(fetching.base / place, label)


def _file(
    fetching: Fetching, kept: Kept, blobs: Blobs, one: Chosen, label: str, changes: dict[str, Change]
) -> FetchedFile:
    entry, shown = one.entry, os.fsencode(label).decode("utf-8", "replace")
    name = f"{entry.blob[:2]}/{entry.blob}{_suffix(one.name)}"
    is_known = kept.facts(name) is not None
    problem = one.problem or _problem(fetching, one) or (None if is_known else _pointer(blobs, entry))
    path = fetching.mirror.path(name)
    if problem is None:
        if not is_known:
            with fetching.mirror.stream(name) as stream:
                for block in blobs.blocks(entry.blob):
                    stream.write(block)
        path = kept.note(name, name, {})
    return FetchedFile(path, one.name, shown, _metadata(entry, changes.get(entry.name)), problem)


def _problem(fetching: Fetching, one: Chosen) -> str | None:
    """Why a file cannot be read, as far as that shows without its content."""
    limit = max_bytes(fetching.settings)
    if any("\udc80" <= char <= "\udcff" for char in one.name):
        return "the file's name is not valid UTF-8; rename it"
    if one.entry.size > limit and entry_suffix(one.name) not in _STREAMED:
        return too_large(one.entry.size, fetching.settings)
    return None


def _pointer(blobs: Blobs, entry: Entry) -> str | None:
    if entry.size < LFS_MOST_BYTES and is_lfs_pointer(blobs.content(entry.blob)):
        return "only a pointer of Git LFS, whose content is not in the repository; index a checkout by `path`"
    return None


def _suffix(name: str) -> str:
    """What the reader needs to see of a name: its last suffix, and for a packed file the one before it too."""
    last = entry_suffix(name)
    return entry_suffix(name[: -len(last)]) + last if last in (".gz", ".zst") else last


def _metadata(entry: Entry, change: Change | None) -> Metadata:
    found = {} if change is None else {
        "commit": change.commit,
        "author": change.author,
        "committed": change.committed,
    }  # fmt: skip
    return {**found, "blob": entry.blob}
