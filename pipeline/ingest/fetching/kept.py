"""What stands in a mirror, of which version, and what the files looked like when they were written.

A file is believed only while it looks as it did then: one that was touched is fetched again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.ingest.fetching.mirror import Mirror

log = logging.getLogger(__name__)

KEPT = "kept.json"
_FORMAT = 1


class Kept:
    """The record of a mirror. Memory: some hundred bytes a file."""

    def __init__(self, mirror: Mirror) -> None:
        """A record that is missing or damaged is an empty one: everything is fetched."""
        self._mirror = mirror
        self._known = _load(mirror.path(KEPT))
        self._now: dict[str, list[Any]] = {}

    def facts(self, key: str) -> Mapping[str, Any] | None:
        """What was noted of a key, if the file that it came with is there and untouched."""
        known = self._known.get(key)
        if known is None:
            return None
        facts, name, *look = known
        return facts if look == _look(self._mirror.path(name)) else None

    def note(self, key: str, name: str, facts: Mapping[str, Any]) -> Path:
        """Note what stands in the mirror under `name`, which is kept there; returns where it is."""
        path = self._mirror.keep(name)
        self._now[key] = [dict(facts), name, *_look(path)]
        return path

    def hold(self, key: str) -> Path | None:
        """Keep a file, and what is known of it, as it was; returns where it is, if it is there."""
        known = self._known.get(key)
        if known is None or not self._mirror.path(known[1]).exists():
            return None
        self._now[key] = known
        return self._mirror.keep(known[1])

    def save(self, with_the_rest: bool = False) -> None:
        """Write what was noted and held; `with_the_rest`: and what was known of what nobody has asked for."""
        found = {**self._known, **self._now} if with_the_rest else self._now
        self._mirror.write(KEPT, _written(found))


def lend_record(folder: Path, lent: Path) -> None:
    """Have a copy of a mirror be believed as far as the mirror is: a copied file looks otherwise than the one that
    was written. A file that was touched, or that has changed while it was copied, is not believed in the copy."""
    mirror, known = Mirror(lent), _load(lent / KEPT)
    believed = {
        key: [facts, name, *_look(mirror.path(name))]
        for key, (facts, name, *look) in known.items()
        if look == _look(folder / name)
    }
    if known:
        mirror.write(KEPT, _written(believed))


def _written(known: Mapping[str, list[Any]]) -> bytes:
    return sealed(json.dumps(known, ensure_ascii=True, sort_keys=True).encode("ascii"), _FORMAT)


def _look(path: Path) -> list[int]:
    try:
        status = os.lstat(path)
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def sealed(payload: bytes, version: int) -> bytes:
    """What is written of a record, so that damage and other versions show."""
    return f"{version} {hashlib.blake2b(payload, digest_size=16).hexdigest()}\n".encode("ascii") + payload


def unsealed(path: Path, version: int, without: str) -> bytes | None:
    """The payload of a sealed file; `None` if it is missing, damaged or of another version.

    The log is told of damage, with what follows from it, `without`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s: cannot be read (%s); %s", path, error, without)
        return None
    payload = data.partition(b"\n")[2]
    if data != sealed(payload, version):
        log.warning("%s: damaged, or of another version; %s", path, without)
        return None
    return payload


def _load(path: Path) -> dict[str, list[Any]]:
    payload = unsealed(path, _FORMAT, "everything is fetched")
    known: dict[str, list[Any]] = {} if payload is None else json.loads(payload)
    return known
