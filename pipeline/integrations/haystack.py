"""A Haystack retriever (extra `haystack`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.config.boosts import Boost
from pipeline.config.search import Settings
from pipeline.errors import ConfigError, QueryError
from pipeline.integrations.conditions import ORDERED, Combination, Comparison, Condition, Logic, as_sql, combined
from pipeline.integrations.extras import needs_extra
from pipeline.integrations.metadata import hit_metadata
from pipeline.integrations.parameters import CallOptions, SearchParameters
from pipeline.integrations.service import KEY_VARIABLE
from pipeline.integrations.source import IndexOrPath, Source, open_source, search_async
from pipeline.query.access import ALL_GROUPS, AllGroups, WantedGroups
from pipeline.query.request import Boosts, Fusion, Rerank
from pipeline.query.searcher import Index
from pipeline.records import Hit

with needs_extra("haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.errors import FilterError
    from haystack.utils import Secret

_LOGIC: Mapping[str, Logic] = {"AND": "and", "OR": "or", "NOT": "not"}
_FIELDS = {"id": "chunk_id"}
_NO_COLUMNS = frozenset({"content", "blob", "score", "embedding", "sparse_embedding"})
_COMPARISONS = frozenset({"==", "!=", "in", "not in", *ORDERED})
_EXAMPLE = "{'field': 'meta.lang', 'operator': '==', 'value': 'ko'}"


@component
class HybridTextRetriever:
    """Finds a query's best chunks as documents.

    `index`: an open index, which stays the caller's to close, or its folder. `url`: a running service in its place,
    one of whose indexes `index` may name; with `api_key` and `headers`. `filters`: Haystack's form of `where`; of
    both, both hold. `groups`: of the reader, where the index has an access field; a call's are narrowed to these.
    `top_k` is what `Index.search` calls `k`, and the other arguments are those of `Index.search`.
    `run` takes those that change most, for one call. Raises `QueryError`, `FilterError` and `ConfigError` for
    arguments that no index could make sense of. The index is opened by `warm_up`, at the latest by the first
    search, which raises what `open_index` and `Index.search` raise, and `ServiceError`.
    """

    def __init__(
        self,
        index: IndexOrPath | None = None,
        *,
        url: str | None = None,
        api_key: Secret | None = Secret.from_env_var(KEY_VARIABLE, strict=False),  # noqa: B008 - is immutable
        headers: dict[str, str] | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        mode: str | None = None,
        where: str | None = None,
        fusion: Fusion = None,
        rerank: Rerank = None,
        rerank_top: int | None = None,
        distinct: float | None = None,
        collapse: bool | None = None,
        context: int | None = None,
        explain: bool | None = None,
        groups: WantedGroups = None,
        highlights: bool | None = None,
        merge: bool | None = None,
        group: str | None = None,
        group_size: int | None = None,
        boosts: Boosts = None,
    ) -> None:
        if not isinstance(api_key, Secret | None):
            raise ConfigError("api_key: give a Secret, such as Secret.from_env_var('HYBRID_PIPELINE_API_KEY')")
        self.index, self.url, self.api_key, self.headers = index, url, api_key, headers
        self.filters = filters
        self.parameters = SearchParameters(
            k=top_k,
            mode=mode,
            where=where,
            fusion=fusion,
            rerank=rerank,
            rerank_top=rerank_top,
            distinct=distinct,
            collapse=collapse,
            context=context,
            explain=explain,
            groups=groups,
            highlights=highlights,
            merge=merge,
            group=group,
            group_size=group_size,
            boosts=boosts,
        ).checked(by_service=url is not None)
        filter_condition(filters)
        self._source: Source | None = None

    def warm_up(self) -> None:
        """Open the index, or prepare to ask the service."""
        self._opened()

    def refresh(self) -> None:
        """Go on with the live generation."""
        self._opened().refresh()

    def to_dict(self) -> dict[str, Any]:
        """The component in plain types; of an open index, its folder."""
        said = {name: _plain(value) for name, value in self.parameters.said().items()}
        path = self.index.path if isinstance(self.index, Index) else self.index
        data: dict[str, Any] = default_to_dict(
            self,
            index=None if path is None else os.fspath(path),
            url=self.url,
            api_key=None if self.api_key is None else self.api_key.to_dict(),
            headers=self.headers,
            filters=self.filters,
            groups=_plain_groups(self.parameters.groups),
            **{"top_k" if name == "k" else name: value for name, value in said.items()},
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> HybridTextRetriever:
        """The component that `to_dict` wrote."""
        arguments = data.get("init_parameters", {})
        if arguments.get("groups") == ALL_GROUPS.value:
            data = {**data, "init_parameters": {**arguments, "groups": ALL_GROUPS}}
        found: HybridTextRetriever = default_from_dict(cls, data)
        return found

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        mode: str | None = None,
        where: str | None = None,
        rerank: str | None = None,
        groups: WantedGroups = None,
    ) -> dict[str, list[Document]]:
        """The best documents. What is left out is as the component was made; `filters` replace those."""
        parameters = self._asked(
            filters, {"k": top_k, "mode": mode, "where": where, "rerank": rerank, "groups": groups}
        )
        return {"documents": [_document(hit) for hit in self._opened().search(query, parameters)]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        mode: str | None = None,
        where: str | None = None,
        rerank: str | None = None,
        groups: WantedGroups = None,
    ) -> dict[str, list[Document]]:
        """Like `run`, beside the event loop."""
        parameters = self._asked(
            filters, {"k": top_k, "mode": mode, "where": where, "rerank": rerank, "groups": groups}
        )
        hits = await search_async(self._opened(), query, parameters)
        return {"documents": [_document(hit) for hit in hits]}

    def _asked(self, filters: dict[str, Any] | None, options: CallOptions) -> SearchParameters:
        asked = self.parameters.changed(options)
        both = combined(asked.where, filter_condition(self.filters if filters is None else filters))
        return asked.changed({"where": both})

    def _opened(self) -> Source:
        if self._source is None:
            key = None if self.api_key is None or self.url is None else self.api_key.resolve_value()
            self._source = open_source(self.index, self.url, key, self.headers, self.parameters.groups)
        return self._source


def filter_condition(filters: Mapping[str, Any] | None) -> str | None:
    """Haystack's filters as `where` takes them. Raises `FilterError`."""
    if not filters:
        return None
    try:
        return as_sql(_condition(filters))
    except QueryError as error:
        raise FilterError(str(error)) from None


def _condition(filters: Any) -> Condition:
    if not isinstance(filters, Mapping):
        raise FilterError(f"filters: {filters!r} is no dictionary; write {_EXAMPLE}")
    if "field" in filters:
        return _comparison(filters)
    operator, parts = _part(filters, "operator"), _part(filters, "conditions")
    if not isinstance(operator, str) or operator not in _LOGIC:
        raise FilterError(f"unknown logical operator {operator!r}; known: {', '.join(_LOGIC)}")
    if not isinstance(parts, list | tuple):
        raise FilterError(f"filters: 'conditions' is a list of filters, not {parts!r}")
    return Combination(_LOGIC[operator], tuple(_condition(part) for part in parts))


def _comparison(filters: Mapping[str, Any]) -> Comparison:
    field, operator, value = filters["field"], _part(filters, "operator"), _part(filters, "value")
    if not isinstance(field, str):
        raise FilterError(f"filters: 'field' is a text such as 'meta.lang', not {field!r}")
    if not isinstance(operator, str) or operator not in _COMPARISONS:
        raise FilterError(f"unknown operator {operator!r}; known: {', '.join(sorted(_COMPARISONS))}")
    name, *path = field.removeprefix("meta.").split(".")
    if not field.startswith("meta."):
        if name in _NO_COLUMNS:
            raise FilterError(f"{field}: filters are about metadata; docs/filters.md lists the columns")
        name = _FIELDS.get(name, name)
    if operator in ORDERED and isinstance(value, str):
        value = _moment(operator, value)
    return Comparison(name, operator, value, tuple(path))


def _part(filters: Mapping[str, Any], key: str) -> Any:
    if key not in filters:
        raise FilterError(f"{key!r} key missing in {dict(filters)}; write {_EXAMPLE}")
    return filters[key]


def _moment(operator: str, value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise FilterError(f"{value!r}: {operator} compares numbers and dates in ISO 8601") from None


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Boost):
        return value.text
    return value.model_dump(mode="json", exclude_unset=True) if isinstance(value, Settings) else value


def _plain_groups(groups: WantedGroups) -> list[str] | str | None:
    if groups is None:
        return None
    return groups.value if isinstance(groups, AllGroups) else sorted(groups)


def _document(hit: Hit) -> Document:
    return Document(id=hit.chunk_id, content=hit.text, meta=hit_metadata(hit), score=hit.score)
