"""What a job does before and after it writes an index in an object store; all between happens in the local copy."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.errors import IndexNotFoundError, IndexStoreError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest, Publisher
from pipeline.progress import ProgressFactory, silent
from pipeline.remote.collect import collect
from pipeline.remote.place import RemoteIndex
from pipeline.remote.pull import pull
from pipeline.remote.push import check_writable, push

log = logging.getLogger(__name__)


def prepare(remote: RemoteIndex, progress: ProgressFactory = silent) -> None:
    """Make sure that the place can be written, and bring its live generation here, if it has one.

    Call with the local copy's writer lock held. Raises what `check_writable` and `pull` raise.
    """
    check_writable(remote)
    try:
        pull(remote, progress=progress)
    except IndexNotFoundError:
        log.info("%s: the first generation will be made", remote.url)


def publisher(remote: RemoteIndex | None, progress: ProgressFactory = silent) -> Publisher:
    """What makes a generation live: in its folder, or for an index in an object store there first."""
    if remote is None:
        return manifests.publish

    def publish(index: Path, manifest: Manifest) -> None:
        push(remote, manifest, progress)

    return publish


def collect_after(remote: RemoteIndex, retain: int) -> None:
    """Collect what is not needed any more, and only warn of what goes wrong: the generation is published."""
    try:
        collect(remote, retain)
    except IndexStoreError as error:
        log.warning("what is not needed any more stays in the store: %s", error)
