"""What `ingest` left to encode, with the configuration and the encoder that suit it; and the lock of a writer."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config import Config
from pipeline.errors import ConfigError, IndexStoreError
from pipeline.index import files, staging, store
from pipeline.index.staging import StagedIngest
from pipeline.job.injected import Injected
from pipeline.models.contract import Encoder
from pipeline.progress import ProgressFactory
from pipeline.records import Fingerprint
from pipeline.remote.place import RemoteIndex
from pipeline.remote.writing import prepare


@dataclass(frozen=True, slots=True)
class StagedBuild:
    """A staged ingest, and what is to encode it."""

    config: Config
    encoder: Encoder
    staged: StagedIngest


def staged_build(config: Config, injected: Injected) -> StagedBuild:
    """Load what is staged. Raises `IndexStoreError` if nothing is, or if it was cut with other settings."""
    index = config.index_path
    staged = staging.load_ingest(index)
    if staged is None:
        raise IndexStoreError(f"{index}: nothing is staged; run `pipeline ingest` first, or `pipeline build`")
    config, followed = (
        injected.following(config, staged.full),
        Fingerprint(tuple(sorted(staged.chunker.items()))),
    )
    loaded, cut_by = injected.encoder(config), injected.chunker(config, followed=followed).fingerprint
    if changed := followed.differences(cut_by):
        raise IndexStoreError(
            f"{index}: staged with other settings (staged → configured): {'; '.join(changed)}; "
            "run `pipeline ingest` again"
        )
    return StagedBuild(*injected.suited_to_texts(config, loaded, index, staged), staged)


@contextlib.contextmanager
def writing(config: Config, progress: ProgressFactory) -> Iterator[None]:
    """The writer lock of the configured index; of its local copy, brought up to date, if it is in an object store.

    Raises `ConfigError` if `index` is no place for a folder, `ObjectStoreError` if it cannot be written.
    """
    try:
        files.make_folder(config.index_path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP):
            raise
        raise ConfigError(
            f"index: {config.index_path}: no folder can be made there: {error.strerror}; correct `index`"
        ) from None
    with store.lock(config.index_path):
        if (remote := RemoteIndex.configured(config)) is not None:
            prepare(remote, progress)
        yield
