"""A finished generation that waits in staging/: the quality gate refused it, so it was not published.

Its segments already stand in their places and its manifest is staging/manifest-N.json, where N is the number it
would get. It can be searched, and published by linking that manifest into place.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.errors import IndexNotFoundError, IndexStoreError
from pipeline.index import files
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.index.staging import STAGING

log = logging.getLogger(__name__)


def stage(index: Path, manifest: Manifest) -> None:
    """Keep a generation in staging instead of publishing it; it takes the place of an earlier one."""
    discard(index)
    files.make_folder(index / STAGING)
    manifests.publish(index / STAGING, manifest)


def discard(index: Path) -> None:
    """Forget the staged generation. Its files are garbage from then on."""
    for number in manifests.generations(index / STAGING):
        manifests.manifest_path(index / STAGING, number).unlink()


def number(index: Path) -> int:
    """The number that the staged generation would get. Raises `IndexNotFoundError`."""
    numbers = manifests.generations(index / STAGING)
    if not numbers:
        raise IndexNotFoundError(f"{index}: no generation is staged; the gate refused none since the last build")
    return numbers[-1]


def load(index: Path) -> Manifest:
    """The staged generation. Raises `IndexNotFoundError`, `CorruptIndexError`, `IncompatibleIndexError`."""
    return manifests.load(index / STAGING, number(index))


def waiting(index: Path) -> Manifest | None:
    """The staged generation if it can still be published: the live one is the one it was made to follow."""
    try:
        manifest = load(index)
    except IndexNotFoundError:
        return None
    except IndexStoreError as error:
        log.warning("the staged generation is lost, the next build makes it anew: %s", error)
        return None
    live = manifests.live_number(index)
    return manifest if manifest.generation == live + 1 else None
