"""Opening an index that is in an object store: its address, and a local copy that is mended if it is damaged.

What fetches is imported when something is: whoever searches a folder need not wait for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar

from pipeline.config import RemoteSettings, checked_settings
from pipeline.config.remote import SCHEMES, is_url
from pipeline.errors import ConfigError, CorruptIndexError
from pipeline.remote.place import RemoteIndex

log = logging.getLogger(__name__)

Opened = TypeVar("Opened")


def remote_index(
    path: str | os.PathLike[str], settings: RemoteSettings | Mapping[str, Any] | None, base: Path
) -> RemoteIndex | None:
    """The index in an object store that `path` is the address of; `None` for a folder. Raises `ConfigError`."""
    remote = None if settings is None else checked_settings(RemoteSettings, settings, "remote")
    if isinstance(path, str) and is_url(path):
        return RemoteIndex.at(path, remote, base, name="path")
    if isinstance(path, PurePath) and path.parts and path.parts[0] in {f"{scheme}:" for scheme in SCHEMES}:
        raise ConfigError(f"path={str(path)!r}: give the address of an object store as a str, a Path loses a slash")
    return None


def newest(origin: RemoteIndex) -> int:
    """The number of the live generation in the store. Raises `ObjectStoreError`, `IndexNotFoundError`."""
    from pipeline.remote.pull import newest as found

    return found(origin)


def fetch(origin: RemoteIndex) -> None:
    """Bring the live generation here. Raises what `pull.pull` raises."""
    from pipeline.remote.pull import pull

    pull(origin)


def from_store(origin: RemoteIndex, generation: int | None, opened: Callable[[], Opened]) -> Opened:
    """Fetch a generation and open it; once more, if what was here turns out to be damaged.

    Where the store does not answer, the generation that is here is opened, with a warning.
    """
    from pipeline.remote.pull import pull, pull_if_reachable

    pull_if_reachable(origin, generation)
    try:
        return opened()
    except CorruptIndexError as error:
        log.warning("%s; it is fetched again", error)
        pull(origin, generation, compare=True)
        return opened()
