"""An index in an object store for tests: some generations of it, and machines with a cache each."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Config, RemoteSettings
from pipeline.errors import IndexNotFoundError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.index.segment import SEGMENTS
from pipeline.index.upkeep.verify import verify
from pipeline.job.build import build
from pipeline.job.build_report import BuildReport
from pipeline.query.searcher import open_index
from pipeline.remote.place import RemoteIndex
from pipeline.remote.pull import newest
from pipeline.remote.push import push
from tests.support.collection import config_for, write_documents

QUESTION = "how are ranks fused?"


@dataclass(frozen=True)
class Nights:
    """Generations that were built in a folder: the first, one with a segment more, and one with deletions."""

    index: Path
    manifests: tuple[Manifest, ...]

    @classmethod
    def built(cls, folder: Path) -> Nights:
        """Build them."""
        documents = write_documents(folder / "documents")
        config = config_for(folder, encoder={"model": "none"}, max_delete_ratio=1.0)
        build(config)
        write_documents(documents, {"en/plums.md": "# Plums\n\nPlums are fused with pears."})
        build(config)
        (documents / "en/fusion.md").unlink()
        build(config)
        return cls(config.index_path, tuple(manifests.load(config.index_path, number) for number in (1, 2, 3)))

    def hits(self, night: int) -> list[tuple[str, float]]:
        """What a search finds in one of them where it was built."""
        with open_index(self.index, generation=night + 1) as index:
            return found(index)


def found(index: Any, query: str = QUESTION) -> list[tuple[str, float]]:
    """The hits of a search, with their scores."""
    return [(hit.chunk_id, hit.score) for hit in index.search(query, k=5)]


class Machine:
    """A computer with a cache of its own, that publishes to a store and reads from it."""

    def __init__(self, folder: Path, url: str, nights: Nights | None = None, **remote: Any) -> None:
        self.folder, self.url, self._nights = folder, url, nights
        cache = str(folder / "cache")
        write_documents(folder / "documents")
        self.settings = RemoteSettings(**{"cache_folder": cache, "timeout_seconds": 5.0, **remote})

    @property
    def config(self) -> Config:
        """A configuration that builds the collection of the tests into the store."""
        return config_for(self.folder, index=self.url, encoder={"model": "none"}, remote=self.settings.model_dump())

    @property
    def remote(self) -> RemoteIndex:
        """The index, as this machine knows it."""
        return RemoteIndex.at(self.url, self.settings)

    @property
    def copy(self) -> Path:
        """The local copy."""
        return self.remote.folder

    @property
    def here(self) -> list[int]:
        """The generations that can be opened without asking the store."""
        return manifests.generations(self.copy)

    def write(self, name: str, text: str) -> None:
        """Change a document of its own."""
        write_documents(self.folder / "documents", {name: text})

    def build(self, **options: Any) -> BuildReport:
        """Build and publish."""
        return build(self.config, **options)

    def publish(self, night: int = 0, note: str = "", number: int | None = None) -> Manifest:
        """Publish one of the nights, as the next generation: what a build does in the end."""
        assert self._nights is not None
        remote = self.remote
        remote.objects.prepare()
        if number is None:
            try:
                number = newest(remote) + 1
            except IndexNotFoundError:
                number = 1
        manifest = dataclasses.replace(self._nights.manifests[night], generation=number, note=note)
        for entry in manifest.segments:
            target = remote.folder / SEGMENTS / entry.segment_id
            shutil.copytree(self._nights.index / SEGMENTS / entry.segment_id, target, dirs_exist_ok=True)
        push(remote, manifest)
        return manifest

    def hits(self, query: str = QUESTION) -> list[tuple[str, float]]:
        """What a search of the live generation finds here."""
        with open_index(self.url, remote=self.settings) as index:
            return found(index, query)

    def is_sound(self) -> bool:
        """Whether every generation that this machine could open is whole."""
        return all(verify(self.copy, number, deep=True).ok for number in self.here)
