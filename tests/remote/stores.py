"""An index in an object store for tests: a small collection, and as many machines as there are cache folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Config, RemoteSettings
from pipeline.index.upkeep.verify import verify
from pipeline.job.build import build
from pipeline.job.build_report import BuildReport
from pipeline.query.searcher import open_index
from pipeline.remote.place import RemoteIndex
from tests.support.collection import config_for, write_documents

QUESTION = "how are ranks fused?"


class Machine:
    """A computer with documents and a cache of its own, that builds and reads one index in a store."""

    def __init__(self, folder: Path, url: str, **remote: Any) -> None:
        self.folder, self.url = folder, url
        self.settings = RemoteSettings(cache_folder=str(folder / "cache"), timeout_seconds=5.0, **remote)
        write_documents(folder / "documents")

    @property
    def config(self) -> Config:
        """Its configuration."""
        return config_for(
            self.folder,
            index=self.url,
            encoder={"model": "none"},
            remote=self.settings.model_dump(),
            max_delete_ratio=1.0,
        )

    @property
    def remote(self) -> RemoteIndex:
        """The index, as this machine knows it."""
        return RemoteIndex.at(self.url, self.settings)

    def write(self, name: str, text: str) -> None:
        """Change a document of its own."""
        write_documents(self.folder / "documents", {name: text})

    def build(self, **options: Any) -> BuildReport:
        """Build and publish."""
        return build(self.config, **options)

    def hits(self, query: str = QUESTION) -> list[tuple[str, float]]:
        """What a search of the live generation finds here."""
        with open_index(self.url, remote=self.settings) as index:
            return [(hit.chunk_id, hit.score) for hit in index.search(query, k=5)]

    def is_sound(self) -> bool:
        """Whether every generation that this machine could open is whole."""
        from pipeline.index import manifest as manifests

        folder = self.remote.folder
        return all(verify(folder, number, deep=True).ok for number in manifests.generations(folder))
