"""An index in an object store: what its address may be, and the section of config.yaml about its local copy."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field

from pipeline.config.search import Settings
from pipeline.errors import ConfigError

SCHEMES = ("s3", "gs", "az", "file")
_FORMS = "s3://bucket/prefix, gs://bucket/prefix, az://account/container/prefix or file:///folder"


class RemoteSettings(Settings):
    """How an index in an object store is kept here; docs/object-stores.md describes the keys.

    `cache_folder`: where local copies stand; without one, below the user's cache folder. `cache_gb`: how large all
    of them may be together. `keep_hours`: how long a generation that was superseded, and a file that no generation
    names, stay in the store. `transfers`: requests at once. `timeout_seconds`: of one request.
    """

    cache_folder: str | None = Field(default=None, min_length=1)
    cache_gb: float = Field(default=100.0, gt=0)
    keep_hours: float = Field(default=168.0, ge=0)
    transfers: int = Field(default=8, ge=1, le=128)
    timeout_seconds: float = Field(default=60.0, gt=0, le=3600)

    def local_copy(self, url: str, base: Path = Path()) -> Path:
        """The folder in which the index at `url` is kept here. `base`: where a relative `cache_folder` starts."""
        root = base / Path(self.cache_folder).expanduser() if self.cache_folder else default_cache_folder()
        digest = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
        return root / digest / url.rpartition("/")[2]


def default_cache_folder() -> Path:
    """Where local copies stand if the settings name no folder.

    `$HYBRID_PIPELINE_CACHE/indexes`, else in the folder that the system has for caches of this user.
    """
    if chosen := os.environ.get("HYBRID_PIPELINE_CACHE"):
        return Path(chosen).expanduser() / "indexes"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hybrid-pipeline" / "indexes"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hybrid-pipeline" / "indexes"


def is_url(place: object) -> bool:
    """Whether this names a place in an object store, and no folder."""
    return isinstance(place, str) and "://" in place


def checked_url(url: str, name: str = "index") -> str:
    """`url` as it is used: without a slash at its end. `name`: of the setting or argument, for errors.

    Raises `ConfigError` for what is no address of an object store, or one that has a password in it.
    """
    try:
        parts = urlsplit(url)
        has_secret = "@" in parts.netloc or bool(parts.query or parts.fragment)
    except ValueError:
        raise ConfigError(f"{name}: not an address of an object store; give {_FORMS}") from None
    if has_secret:  # not quoted: it may be a password
        raise ConfigError(
            f"{name}: an address has neither credentials nor options; they are read from the environment "
            "(docs/object-stores.md); give the bucket and the prefix only"
        )
    if parts.scheme not in SCHEMES:
        raise ConfigError(f"{name}: {parts.scheme}:// is no object store that is known; give {_FORMS}")
    place = [part for part in parts.path.split("/") if part]
    if any(part in (".", "..") or unquote(part) != part or not part.isprintable() for part in place):
        raise ConfigError(f"{name}: {url!r}: a prefix has plain names only, no `..` and no `%`")
    if parts.scheme == "file":
        if parts.netloc or not place:
            raise ConfigError(f"{name}: {url!r}: give an absolute folder, as in file:///srv/indexes/handbook")
        return "file:///" + "/".join(place)
    if not parts.netloc or any(letter.isspace() or not letter.isprintable() for letter in parts.netloc):
        raise ConfigError(f"{name}: {url!r}: names no bucket; give {_FORMS}")
    if not place:
        raise ConfigError(f"{name}: {url!r}: give a prefix too, so that the bucket can hold more than one index")
    return f"{parts.scheme}://{parts.netloc}/{'/'.join(place)}"
