"""What an adapter's search asks for: what it was made with, and what one call says otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from pipeline import names
from pipeline.config import QuerySettings
from pipeline.query.access import WantedGroups
from pipeline.query.request import Boosts, Fusion, Rerank, SearchRequest, refuse_unknown


class CallOptions(TypedDict, total=False):
    """What one call may say otherwise. `None` means: as the adapter was made."""

    k: int | None
    mode: str | None
    where: str | None
    fusion: Fusion
    rerank: Rerank
    rerank_top: int | None
    distinct: float | None
    collapse: bool | None
    context: int | None
    explain: bool | None
    groups: WantedGroups
    highlights: bool | None
    merge: bool | None
    group: str | None
    group_size: int | None
    boosts: Boosts
    now: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParameters:
    """The arguments of `Index.search`. `None`: what the index or the service is configured with.

    `groups`: of the reader, among those that the source was opened with; `None`: those.
    """

    k: int | None = None
    mode: str | None = None
    where: str | None = None
    fusion: Fusion = None
    rerank: Rerank = None
    rerank_top: int | None = None
    distinct: float | None = None
    collapse: bool | None = None
    context: int | None = None
    explain: bool | None = None
    groups: WantedGroups = None
    highlights: bool | None = None
    merge: bool | None = None
    group: str | None = None
    group_size: int | None = None
    boosts: Boosts = None
    now: datetime | None = None

    def changed(self, options: Mapping[str, Any]) -> SearchParameters:
        """These, but for what a call says. Raises `TypeError` for a name that no search has."""
        refuse_unknown(options, CallOptions)
        return dataclasses.replace(self, **{name: value for name, value in options.items() if value is not None})

    def checked(self, by_service: bool = False) -> SearchParameters:
        """These, of which some index may make sense. Raises `QueryError` in the words of a search that does not.

        `by_service`: a service is asked, which may have added methods of fusion that this process does not know.
        """
        said = self.said()
        if by_service and isinstance(self.fusion, str):
            del said["fusion"]
        SearchRequest.for_texts(_AnyIndex(), ("text",), **said)
        return self

    def said(self) -> dict[str, Any]:
        """What a search is told: those that are not left to the configuration, without the groups."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None and name != "groups"}


class _AnyIndex:
    """What arguments are checked against before there is an index."""

    path = Path()
    legs = names.LEGS
    settings = QuerySettings()
