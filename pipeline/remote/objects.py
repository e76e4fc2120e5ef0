"""A place in an object store: get, put, create, list and delete, and what goes wrong in words.

The library retries what a store answers with 5xx, and connections that break. What it says of a failure is never
repeated, since answers of servers may quote credentials.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.errors import IndexNotFoundError, MissingDependencyError, ObjectStoreError
from pipeline.index import files

if TYPE_CHECKING:
    from obstore.store import ObjectStore

log = logging.getLogger(__name__)

RETRIES = 6
_STATUS = re.compile(r"status code: (\d{3})")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_ENVIRONMENT = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_first_process: list[int] = []


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: its name below the place, its size in bytes, and when it was last written by the store's clock."""

    key: str
    size: int
    written: datetime


@dataclass(frozen=True)
class Objects:
    """All objects below an address (`config.remote.checked_url`). For any threads, but not for forked children.

    Every method raises `ObjectStoreError`, or `IndexNotFoundError` for a folder that is not there. None repeats
    what a server said.
    """

    url: str
    timeout_seconds: float = 60.0

    @property
    def scheme(self) -> str:
        """`s3`, `gs`, `az` or `file`."""
        return self.url.partition(":")[0]

    def __reduce__(self) -> tuple[type[Objects], tuple[str, float]]:
        return Objects, (self.url, self.timeout_seconds)  # not the connection: it knows the credentials

    @cached_property
    def _store(self) -> ObjectStore:
        return _connected(self.url, self.timeout_seconds)

    def prepare(self) -> None:
        """Make the folder of a `file://` address; buckets are made by whoever owns them."""
        if self.scheme == "file":
            files.make_folder(Path(urlsplit(self.url).path))

    def read(self, key: str) -> bytes | None:
        """A whole object; `None` where there is none."""
        with self._explained(f"reading {key}"):
            try:
                return bytes(_library().get(self._store, key).bytes())
            except FileNotFoundError:
                return None
        raise AssertionError  # every path returns or raises

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        """A part of an object; fewer bytes where it ends before, `None` where there is no such object."""
        with self._explained(f"reading {key}"):
            try:
                return bytes(_library().get_range(self._store, key, start=start, length=length))
            except FileNotFoundError:
                return None
        raise AssertionError

    def write(self, key: str, content: bytes | Path) -> None:
        """Write an object, whatever is there: all of it or nothing."""
        with self._explained(f"writing {key}"):
            _library().put(self._store, key, content)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object where none is, by one conditional put; whether it is ours now.

        An answer that got lost is looked up: an object with the very same content is ours.
        """
        try:
            with self._explained(f"creating {key}"):
                try:
                    _library().put(self._store, key, content, mode="create")
                except (_errors().AlreadyExistsError, _errors().PreconditionError):
                    return self.read(key) == content  # a put that was tried again after its answer got lost
            return True
        except ObjectStoreError as error:
            if not error.unreachable:
                raise
            with contextlib.suppress(ObjectStoreError):
                found = self.read(key)
                if found is not None:
                    return found == content
            raise

    def list(self, prefix: str, after: str | None = None) -> list[Stored]:
        """Objects below a prefix, those whose key is greater than `after`, ascending.

        A store may show a list that is some seconds old.
        """
        with self._explained(f"listing {prefix}"):
            found = _library().list(self._store, prefix, offset=after).collect()
            listed = [Stored(one["path"], one["size"], one["last_modified"]) for one in found]
            return sorted(listed, key=lambda one: one.key)
        raise AssertionError

    def head(self, key: str) -> Stored | None:
        """What is known of an object; `None` where there is none."""
        with self._explained(f"looking at {key}"):
            try:
                one = _library().head(self._store, key)
            except FileNotFoundError:
                return None
            return Stored(key, one["size"], one["last_modified"])
        raise AssertionError

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        with self._explained(f"deleting {key}"), contextlib.suppress(FileNotFoundError):
            _library().delete(self._store, key)

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (_errors().BaseError, OSError, ValueError) as error:
            raise self._in_words(doing, error) from None

    def _in_words(self, doing: str, error: Exception) -> ObjectStoreError:
        """What went wrong, as far as it is known without quoting anybody."""
        known = _errors()
        found = _STATUS.search(str(error))
        status = int(found[1]) if found else 0
        variables = _ENVIRONMENT.get(self.scheme, "the folder's permissions")
        if isinstance(error, PermissionError) or (
            isinstance(error, known.PermissionDeniedError | known.UnauthenticatedError) or status in (401, 403)
        ):
            why, cure = "permission denied", f"check {variables}, and what this user may do there"
        elif isinstance(error, FileNotFoundError) or status == 404:
            why, cure = "there is no such bucket or folder", "make it, or correct the address"
        elif isinstance(error, known.NotSupportedError) or status == 501:
            why, cure = "this store cannot do that", "use one that has conditional puts"
        elif isinstance(error, OSError | ValueError | known.InvalidPathError):
            why = (error.strerror if isinstance(error, OSError) else None) or "not possible there"
            cure = "correct the address"
        elif status >= 500 or status == 429:
            why, cure = f"the store answers {status}, also when asked again", "try again later"
        elif status:
            why, cure = f"the store answers {status}", f"check the address and {variables}"
        else:
            why = "the store does not answer, or breaks off"
            cure = f"check the network, the address and {variables}"
        unreachable = why.startswith("the store") and (
            status == 0 or status >= 500 or status in (408, 409, 425, 429)
        )
        return ObjectStoreError(f"{self.url}: {doing}: {why}; {cure}", unreachable=unreachable)


def _library() -> Any:
    """The library, in the process that first used it: its threads do not live on in a forked child."""
    try:
        import obstore
    except ImportError as error:
        raise MissingDependencyError(
            f"an index in an object store needs {error.name}; pip install 'hybrid-pipeline[cloud]'"
        ) from error
    if not _first_process:
        _first_process.append(os.getpid())
    if _first_process[0] != os.getpid():
        raise ObjectStoreError(
            "an object store cannot be used in a forked process after its parent has used one; start processes by "
            "`spawn`, or open the index in them only"
        )
    return obstore


def _errors() -> Any:
    _library()
    from obstore import exceptions

    return exceptions


def _connected(url: str, timeout_seconds: float) -> ObjectStore:
    _library()
    from obstore.store import from_url

    try:
        if url.startswith("file:"):
            return from_url(url)
        return from_url(
            url,
            client_options={
                "allow_http": _allows_http(),
                "timeout": timedelta(seconds=timeout_seconds),
                "connect_timeout": timedelta(seconds=min(10.0, timeout_seconds)),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=min(240.0, 3 * timeout_seconds)),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=10),
                    "base": 2,
                },
            },
        )
    except (_errors().BaseError, ValueError):
        scheme = url.partition(":")[0]
        if scheme == "file":
            raise IndexNotFoundError(
                f"{url}: there is no such folder; `pipeline build` makes it, or correct the address"
            ) from None
        raise ObjectStoreError(
            f"{url}: the environment does not say how to reach it, or says it wrongly; "
            f"check {_ENVIRONMENT.get(scheme, 'the address')}"
        ) from None


def _allows_http() -> bool:
    """Whether requests may go unencrypted: to this machine, or where the environment says so."""
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes"):
        return True
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    host = urlsplit(endpoint).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
