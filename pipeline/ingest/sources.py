"""Which files a configuration names: globs, hidden files, symbolic links, in one deterministic order."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pipeline.config import Config, SourceSettings
from pipeline.errors import ConfigError, SourceError
from pipeline.given import Wanted
from pipeline.ingest.suffixes import PACKAGE_MARK, SUFFIXES, entry_suffix, is_package_mark
from pipeline.records import Metadata

logger = logging.getLogger(__name__)

NOT_REGULAR = "neither a file nor a folder (a pipe, socket or device)"

FileId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to read.

    `location` is where it is. `name` is its posix path in its source after `source.prefix`, and the `doc_id` of a
    whole-file document. `label` is the path as the configuration has it, for messages: the same wherever the
    pipeline is run. `problem` is why the file cannot even be opened, if discovery found that out. `status` is what
    the system said of it when it was found, if it was asked. `wanted`: the vectors that its rows give, if they are
    not to be encoded. `extra`: metadata of its documents that it does not hold itself.
    """

    location: str
    name: str
    label: str
    source: SourceSettings
    problem: str | None = None
    status: os.stat_result | None = field(default=None, compare=False, repr=False)
    wanted: Wanted | None = None
    extra: Metadata = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.location)

    @property
    def suffix(self) -> str:
        """Lower-case, with the dot."""
        return entry_suffix(self.location)


@dataclass(slots=True)
class _Walk:
    """State shared by the sources of one run: a real file or folder is taken once, where it comes first."""

    folders: set[FileId] = field(default_factory=set)
    files: set[FileId] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file that stands in the mirror of a source that is no path. `location`, `name`, `label`, `problem` and
    `extra` are those of the `SourceFile` that it becomes; `source.prefix` is put before the name there."""

    location: Path
    name: str
    label: str
    extra: Metadata = field(default_factory=dict)
    problem: str | None = None


Fetched = Mapping[int, Sequence[FetchedFile]]
"""What was fetched, by the place of its source in the configuration."""
NOTHING_FETCHED: Fetched = {}


def discover(config: Config, fetched: Fetched = NOTHING_FETCHED) -> Iterator[SourceFile]:
    """The files of all sources, source by source, sorted by name within a folder.

    Hidden files are skipped, empty `__init__.py`, and the index itself. Links are followed, out of the source too;
    a real file is taken once, so loops end. `fetched`: the files of sources that are no paths.
    Raises, before yielding anything, `ConfigError` if no source is configured, and `SourceError` if a path does not
    exist or a folder holds no file that matches.
    """
    if not config.sources:
        raise ConfigError("no sources are configured; add `sources: [{path: …}]` to the configuration")
    for number, source in enumerate(config.sources):
        if source.path is not None:
            _check(config.source_path(source), source)
        elif number not in fetched:
            raise SourceError(f"sources.{number}: `{source.label}` was not fetched; build the index with it")
    walk = _Walk()
    with contextlib.suppress(OSError):
        walk.folders.add(_identity(config.index_path.stat()))  # the index is no document of itself
    for number, source in enumerate(config.sources):
        if source.path is None:
            for one in fetched[number]:
                yield SourceFile(
                    str(one.location), source.prefix + one.name, one.label, source, one.problem, extra=one.extra
                )
            continue
        found = 0
        for file in _source_files(config.source_path(source), source, walk, Counter()):
            found += 1
            yield file
        logger.info("%s: %d files found", config.source_path(source), found)


def _identity(status: os.stat_result) -> FileId:
    return status.st_dev, status.st_ino


def _check(path: Path, source: SourceSettings) -> None:
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file or folder; correct `path` under `sources`") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}; correct `path` under `sources`") from error
    if is_folder:
        if not _listing(path):
            raise SourceError(
                f"{path}: the folder is empty; put documents there, or correct `path` under `sources`"
            )
        ignored: Counter[str] = Counter()
        if next(_source_files(path, source, _Walk(), ignored), None) is None:
            wanted = ", ".join(source.include) if source.include else " ".join(sorted(SUFFIXES))
            without = f" (ignored: {_summary(ignored)})" if ignored else ""
            cure = (
                "`*.md` is this folder alone, `**/*.md` its subfolders too" if source.include else "correct `path`"
            )
            raise SourceError(f"{path}: no file matches {wanted}{without}; {cure}")


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed: {error.strerror}; check its permissions") from error


def _source_files(root: Path, source: SourceSettings, walk: _Walk, ignored: Counter[str]) -> Iterator[SourceFile]:
    if not root.is_dir():
        yield _source_file(str(root), "", source)
        return
    include = [compile_glob(pattern) for pattern in source.include]
    exclude = [compile_glob(pattern) for pattern in source.exclude]

    def wanted(name: str) -> bool:
        if include:
            return any(pattern.match(name) for pattern in include)
        return entry_suffix(name) in SUFFIXES

    folders: list[Iterator[tuple[str, os.DirEntry[str]]]] = [_entries(root, "", walk)]
    while folders:
        name, entry = next(folders[-1], ("", None))
        if entry is None:
            folders.pop()
            continue
        if entry.name.startswith(".") or any(pattern.match(name) for pattern in exclude):
            continue
        try:
            status = entry.stat()
            if stat.S_ISDIR(status.st_mode):
                folders.append(_entries(Path(entry.path), f"{name}/", walk))
                continue
        except (OSError, SourceError) as error:
            if isinstance(error, SourceError) or wanted(name):
                yield _source_file(entry.path, name, source, _why(error))
            continue
        if not wanted(name):
            ignored[entry_suffix(name) or "no suffix"] += 1
        elif stat.S_ISREG(status.st_mode) and is_package_mark(name, status.st_size):
            ignored[f"empty {PACKAGE_MARK}"] += 1
        elif not stat.S_ISREG(status.st_mode):
            yield _source_file(entry.path, name, source, NOT_REGULAR)
        elif (identity := _identity(status)) not in walk.files:
            walk.files.add(identity)
            yield _source_file(entry.path, name, source, status=status)
    if ignored:
        logger.info("%s: %d files ignored, %s", root, ignored.total(), _summary(ignored))


def _entries(folder: Path, prefix: str, walk: _Walk) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Name in the source and entry, sorted; nothing for a folder that was walked before (a link back to it)."""
    status = folder.stat()
    if _identity(status) in walk.folders:
        return iter(())
    walk.folders.add(_identity(status))
    return iter([(prefix + entry.name, entry) for entry in _listing(folder)])


def _source_file(
    location: str,
    name: str,
    source: SourceSettings,
    problem: str | None = None,
    status: os.stat_result | None = None,
) -> SourceFile:
    """`name` is empty for a source that is itself a file."""
    label = _label_prefix(str(source.path)) + name if name else PurePosixPath(str(source.path)).as_posix()
    if not name.isascii():
        label = os.fsencode(label).decode("utf-8", "replace")
        if "\ufffd" in label and "\ufffd" not in name:
            problem = "the file's name is not valid UTF-8; rename it"
    return SourceFile(location, source.prefix + (name or Path(location).name), label, source, problem, status)


@lru_cache
def _label_prefix(source_path: str) -> str:
    """What stands before a name in the folder `source_path` where a message names the file."""
    return (PurePosixPath(source_path) / "_").as_posix()[:-1]


def _why(error: OSError | SourceError) -> str:
    """The reason in words, without the path, which the rejection names anyway."""
    if isinstance(error, OSError):
        return describe_os_error(error)
    return f"folder {str(error).split(': ', 1)[-1]}"


def describe_os_error(error: OSError) -> str:
    """One line: what the system said, without the path."""
    if isinstance(error, FileNotFoundError):
        return "no such file: a dangling link, or it vanished while the collection was read"
    return (error.strerror or str(error) or type(error).__name__).splitlines()[0].lower()


def file_bytes(file: SourceFile) -> int:
    """The size that a file had when it was found; 0 if it is not there."""
    try:
        return (file.status or file.path.stat()).st_size
    except OSError:
        return 0


def _summary(ignored: Counter[str]) -> str:
    ranked = sorted(ignored.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = [f"{count} {suffix}" for suffix, count in ranked[:5]]
    return ", ".join([*shown, "…"] if len(ranked) > 5 else shown)


@lru_cache
def compile_glob(pattern: str) -> re.Pattern[str]:
    """A glob over posix paths: `*`, `?` and `[…]` stay within a folder's name, `**` spans any number of folders.

    Raises `SourceError`.
    """
    parts = pattern.removeprefix("./").rstrip("/").split("/")
    regex = ""
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if part == "**":
            regex += ".*" if last else "(?:[^/]+/)*"
        else:
            regex += fnmatch_segment(part) + ("" if last else "/")
    try:
        return re.compile(f"(?s:{regex})\\Z")
    except re.error as error:
        raise SourceError(f"sources: the pattern {pattern!r} is no glob: {error.msg}; correct it") from None


def fnmatch_segment(segment: str) -> str:
    """The regular expression of one glob segment, which never matches a `/`."""
    regex, i = "", 0
    while i < len(segment):
        char, i = segment[i], i + 1
        close = segment.find("]", i + 1) if char == "[" else -1
        if char == "*":
            regex += "[^/]*"
        elif char == "?":
            regex += "[^/]"
        elif close > 0:
            body = segment[i:close].replace("\\", "\\\\").replace("[", "\\[")
            regex += f"(?!/)[{'^' + body[1:] if body[0] in '!^' else body}]"
            i = close + 1
        else:
            regex += re.escape(char)
    return regex
