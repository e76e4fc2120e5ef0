"""Where an adapter's hits come from: an index in this process, or a service, behind one interface."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from pipeline.arguments import shown
from pipeline.errors import ConfigError, QueryError
from pipeline.integrations.parameters import SearchParameters
from pipeline.query.access import WantedGroups
from pipeline.query.searcher import Index, open_index
from pipeline.records import Encoded, Hit

IndexOrPath = Index | str | os.PathLike[str]


class Source(Protocol):
    """A query in, hits out. For any number of threads."""

    def search(self, query: str, parameters: SearchParameters) -> list[Hit]:
        """The hits of one query, best first. Raises `PipelineError`."""

    def refresh(self) -> None:
        """Go on with the live generation. Raises `PipelineError`."""


class IndexSource:
    """An open index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def search(self, query: str, parameters: SearchParameters) -> list[Hit]:
        """The hits of one query."""
        index = self._index if parameters.groups is None else self._index.for_groups(parameters.groups)
        return index.search(query, **parameters.said())

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Passages as the index's encoder sees them. Raises `QueryError`."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise QueryError(f"texts={shown(texts)}: give a list of texts")
        return _vectors(self._index, self._index.encoder.encode_documents(texts)) if texts else []

    def embed_query(self, text: str) -> list[float]:
        """A query as the index's encoder sees it. Raises `QueryError`."""
        if not isinstance(text, str):
            raise QueryError(f"text={shown(text)}: give a query as str, not {type(text).__name__}")
        (vector,) = _vectors(self._index, self._index.encoder.encode_queries([text]))
        return vector

    def refresh(self) -> None:
        """Go on with the live generation; searches that have begun end where they began."""
        self._index = self._index.refresh()


def open_source(
    index: IndexOrPath | None,
    url: str | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    groups: WantedGroups = None,
) -> Source:
    """Return the source that arguments name: the service at `url`, else the index for readers of `groups`.

    Raises `ConfigError`, and what `open_index` raises.
    """
    if url is not None:
        from pipeline.integrations.service import ServiceSettings, ServiceSource, refuse_groups

        refuse_groups(groups)
        settings = ServiceSettings(url=url, index=cast(str | None, index), api_key=api_key, headers=headers)
        return ServiceSource(settings)
    if api_key is not None or headers is not None:
        raise ConfigError("api_key and headers are for a service: give its url= too")
    if index is None:
        raise ConfigError("give index=, an open index or its folder, or url=, the address of a service")
    return index_source(index, groups)


def index_source(index: IndexOrPath | None, groups: WantedGroups = None) -> IndexSource:
    """Return an open index, or the one at a path, for readers of `groups`. Raises what `open_source` raises."""
    if isinstance(index, Index):
        return IndexSource(index if groups is None else index.for_groups(groups))
    if not isinstance(index, str | os.PathLike):
        raise ConfigError(f"index={shown(index)}: give an open index, or its folder as str or Path")
    return IndexSource(open_index(index, groups=groups))


async def search_async(source: Source, query: str, parameters: SearchParameters) -> list[Hit]:
    """`source.search`, beside the event loop."""
    return await asyncio.to_thread(source.search, query, parameters)


def _vectors(index: Index, encoded: Encoded) -> list[list[float]]:
    if encoded.dense is None:
        raise QueryError(f"{index.path}: the encoder of this index gives no vectors of texts")
    vectors: list[list[float]] = encoded.dense.tolist()
    return vectors
