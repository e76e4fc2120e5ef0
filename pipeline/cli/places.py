"""`--index`: a folder or the address of an index in an object store, for commands that work on either."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.common import Options

if TYPE_CHECKING:
    from pipeline.index.manifest import Publisher
    from pipeline.remote.place import RemoteIndex


@dataclass(frozen=True, slots=True)
class Place:
    """Where an index is. `folder`: its own, or that of its local copy; `remote`: `None` for one in a folder."""

    folder: Path
    remote: RemoteIndex | None

    @property
    def name(self) -> str:
        """How it is called: the folder or the address."""
        return str(self.folder) if self.remote is None else self.remote.url

    @contextlib.contextmanager
    def manifests(self) -> Iterator[Path]:
        """A folder that has its manifests, and may have nothing else."""
        if self.remote is None:
            yield self.folder
            return
        from pipeline.remote.upkeep import manifests_of

        with manifests_of(self.remote) as folder:
            yield folder

    def fetched(self, options: Options, generation: int | None = None) -> Path:
        """The folder, with the live generation or the one given in it."""
        if self.remote is not None:
            from pipeline.remote.pull import pull

            pull(self.remote, generation, progress=options.progress())
        return self.folder

    @contextlib.contextmanager
    def writing(self, options: Options, retain: int | None = None) -> Iterator[Publisher]:
        """What makes a generation live there; the live one is in the folder.

        `retain`: what is not needed any more in a store is collected in the end.
        """
        from pipeline.remote import writing

        if self.remote is not None:
            writing.prepare(self.remote, options.progress())
        yield writing.publisher(self.remote, options.progress())
        if self.remote is not None and retain is not None:
            writing.collect_after(self.remote, retain)


def place_of(options: Options, index: str | Path | None) -> Place:
    """The place that `--index` or the configuration names. Raises `ConfigError`."""
    from pipeline.config.remote import is_url
    from pipeline.remote.place import RemoteIndex

    if index is None:
        config = options.config()
        return Place(config.index_path, RemoteIndex.configured(config))
    if is_url(index):
        config = options.config_or_defaults()
        remote = RemoteIndex.at(str(index), config.remote, config.base, name="--index")
        return Place(remote.folder, remote)
    return Place(Path(index), None)
