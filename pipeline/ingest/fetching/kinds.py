"""Which fetcher brings which kind of source, and all of them before a build believes any."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from pipeline.config import Config, SourceSettings
from pipeline.config.sources import COMMAND, GIT, PATH, PYTHON, SQL, URLS
from pipeline.errors import ConfigError
from pipeline.ingest.fetching.command import fetch_command
from pipeline.ingest.fetching.contract import Fetcher, Fetching
from pipeline.ingest.fetching.git.fetcher import fetch_git
from pipeline.ingest.fetching.kept import lend_record
from pipeline.ingest.fetching.mirror import FETCHED, Mirror, drop_others
from pipeline.ingest.fetching.python_function import fetch_function
from pipeline.ingest.fetching.sql.query import fetch_query
from pipeline.ingest.fetching.web.fetcher import fetch_urls
from pipeline.ingest.sources import Fetched, FetchedFile
from pipeline.progress import ProgressFactory

log = logging.getLogger(__name__)

FETCHERS: dict[str, Fetcher] = {
    COMMAND: fetch_command,
    PYTHON: fetch_function,
    SQL: fetch_query,
    GIT: fetch_git,
    URLS: fetch_urls,
}


_TAKE_OVER = frozenset({SQL, GIT, URLS})
"""Kinds that take over from a mirror what has not changed; others are fetched whole every time."""


def fetch_sources(config: Config, index: Path, progress: ProgressFactory) -> Fetched:
    """Bring the mirrors in the folder `index` up to date; mirrors of other sources are removed.

    Raises `SourceError` if a source cannot be had as a whole.
    """
    wanted = [(number, source) for number, source in enumerate(config.sources) if source.kind != PATH]
    found: dict[int, list[FetchedFile]] = {}
    folders: dict[int, Path] = {}
    for number, source in wanted:
        folder = index / FETCHED / mirror_name(source)
        alike = sum(other.name.split(".")[0] == folder.name for other in folders.values())
        folders[number] = folder.with_name(f"{folder.name}.{alike}") if alike else folder
    if wanted:
        with progress("fetch", None, "row") as bar:
            for number, source in wanted:
                found[number] = _fetched(config, source, folders[number], bar.update)
    drop_others(index, set(folders.values()))
    return found


def lend_mirrors(config: Config, index: Path, folder: Path) -> None:
    """Copy to `folder`, for a plan, the mirrors that spare a fetch something; what changes meanwhile is left out.

    A plan has no lock, so the index's own mirrors are not its to change.
    """
    for source in config.sources:
        found = (index / FETCHED).glob(f"{mirror_name(source)}*") if source.kind in _TAKE_OVER else ()
        for mirror in found:
            lent = folder / FETCHED / mirror.name
            try:
                shutil.copytree(mirror, lent, symlinks=True, dirs_exist_ok=True)
                lend_record(mirror, lent)
            except OSError:  # what shutil raises, too
                shutil.rmtree(lent, ignore_errors=True)


def mirror_name(source: SourceSettings) -> str:
    """The folder of a source's mirror: another one if any of its settings is another that decides what it holds.

    One of files may grow by addresses, or be asked for others of its files, and keep what it has.
    """
    settings = source.model_dump(mode="json", exclude_defaults=True)
    if source.kind in (GIT, URLS):
        settings = {key: settings.get(key) for key in ("prefix", "git", "ref", "urls")}
        if isinstance(source.urls, list):
            settings["urls"] = source.urls[0]
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode("utf-8", "surrogatepass"), digest_size=8)
    return f"{source.kind}-{digest.hexdigest()}"


def _fetched(
    config: Config, source: SourceSettings, folder: Path, update: Callable[[float], object]
) -> list[FetchedFile]:
    fetcher = FETCHERS.get(source.kind)
    if fetcher is None:
        raise ConfigError(f"sources: `{source.kind}` cannot be fetched; known kinds: {', '.join(FETCHERS)}")
    mirror = Mirror(folder)
    files = list(fetcher(Fetching(source, config.base.absolute(), mirror, config.ingest, update)))
    mirror.finish()
    log.info("%s: %d files fetched", source.label, len(files))
    return files
