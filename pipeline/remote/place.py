"""An index in an object store, and the folder in which it is kept here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config, RemoteSettings
from pipeline.config.remote import checked_url
from pipeline.errors import CorruptIndexError, IncompatibleIndexError, IndexNotFoundError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.remote.layout import GENERATIONS, generation_key, generation_of
from pipeline.remote.objects import Objects


@dataclass(frozen=True, slots=True)
class RemoteIndex:
    """Where an index is, where its local copy stands, and how both are used."""

    objects: Objects
    folder: Path
    settings: RemoteSettings

    @classmethod
    def at(
        cls, url: str, settings: RemoteSettings | None = None, base: Path = Path(), name: str = "index"
    ) -> RemoteIndex:
        """The index at an address. `base`: where a relative `cache_folder` starts. `name`: of the argument.

        Raises `ConfigError`.
        """
        settings, place = settings or RemoteSettings(), checked_url(url, name)
        return cls(Objects(place, settings.timeout_seconds), settings.local_copy(place, base), settings)

    @classmethod
    def configured(cls, config: Config) -> RemoteIndex | None:
        """The index of a configuration; `None` where it is a folder."""
        return None if config.index_url is None else cls.at(config.index_url, config.remote, config.base)

    @property
    def url(self) -> str:
        """Its address."""
        return self.objects.url

    def __fspath__(self) -> str:
        return os.fspath(self.folder)

    def generations(self, after: int = 0) -> list[int]:
        """Numbers of the published generations above `after`, ascending, as far as the store lists them."""
        listed = self.objects.list(f"{GENERATIONS}/", generation_key(after) if after else None)
        return [number for one in listed if (number := generation_of(one.key)) is not None]

    def manifest(self, number: int) -> Manifest | None:
        """A generation's manifest; `None` where there is none. Raises what `manifests.from_bytes` raises."""
        data = self.objects.read(generation_key(number))
        return None if data is None else self.parsed(data, number)

    def parsed(self, data: bytes, number: int) -> Manifest:
        """The manifest that an object holds. Raises `CorruptIndexError`, `IncompatibleIndexError`."""
        try:
            return manifests.from_bytes(data, Path(generation_key(number)), number)
        except (CorruptIndexError, IncompatibleIndexError) as error:
            raise type(error)(f"{self.url}: {error}") from None

    def missing(self, number: int | None = None) -> IndexNotFoundError:
        """The error for a generation that is not there, or for a place without any."""
        if number is None:
            return IndexNotFoundError(f"{self.url}: no index here; `pipeline build` makes one")
        known = ", ".join(map(str, self.generations())) or "none"
        return IndexNotFoundError(f"{self.url}: no generation {number}; there are: {known}")
