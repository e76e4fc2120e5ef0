"""A LlamaIndex retriever (extra `llama-index`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack

from pipeline.arguments import shown
from pipeline.errors import QueryError
from pipeline.integrations.conditions import Combination, Comparison, Condition, Logic, as_sql, combined
from pipeline.integrations.extras import needs_extra
from pipeline.integrations.metadata import SHOWN_TO_MODELS, hit_fields, hit_metadata
from pipeline.integrations.parameters import CallOptions, SearchParameters
from pipeline.integrations.source import IndexOrPath, open_source, search_async
from pipeline.query.access import WantedGroups
from pipeline.query.request import Boosts, Fusion, Rerank
from pipeline.records import Hit

with needs_extra("llama-index"):
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode
    from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilters

_OPERATORS = {FilterOperator.NIN: "not in"}
"""Where LlamaIndex has another word than `pipeline.integrations.conditions`."""
_LOGIC: Mapping[FilterCondition | None, Logic] = {
    None: "and",
    FilterCondition.AND: "and",
    FilterCondition.OR: "or",
    FilterCondition.NOT: "not",
}


@dataclass
class HybridQuery(QueryBundle):
    """A query that says otherwise than its retriever: `retriever.retrieve(HybridQuery("…", k=3))`."""

    k: int | None = None
    mode: str | None = None
    where: str | None = None
    filters: MetadataFilters | None = None
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

    def options(self) -> dict[str, Any]:
        """What it says otherwise; `filters` and `where` hold both."""
        options = {name: getattr(self, name) for name in CallOptions.__annotations__}
        return {**options, "where": combined(self.where, metadata_condition(self.filters))}


class HybridRetriever(BaseRetriever):
    """Finds a query's best chunks as nodes.

    `index`: an open index, which stays the caller's to close, or its folder. `url`: a running service in its place,
    one of whose indexes `index` may name; with `api_key` and `headers`. `filters`: LlamaIndex's form of `where`; of
    both, both hold. `groups`: of the reader, where the index has an access field; a query's are narrowed to these.
    `callback_manager`, `verbose`: LlamaIndex's. The other arguments are those of `Index.search`; a
    `HybridQuery` has them too, for one call. Raises what `open_index` raises, `QueryError` for arguments that no
    index could make sense of; a search raises what `Index.search` raises, and `ServiceError`.
    """

    def __init__(
        self,
        index: IndexOrPath | None = None,
        *,
        url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        filters: MetadataFilters | None = None,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
        **parameters: Unpack[CallOptions],
    ) -> None:
        made_with = SearchParameters().changed(parameters)
        where = combined(made_with.where, metadata_condition(filters))
        self._parameters = dataclasses.replace(made_with, where=where).checked(by_service=url is not None)
        self._source = open_source(index, url, api_key, headers, made_with.groups)
        super().__init__(callback_manager=callback_manager, verbose=verbose)

    def refresh(self) -> None:
        """Go on with the live generation."""
        self._source.refresh()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        parameters = self._asked(query_bundle)
        return [_node(hit) for hit in self._source.search(query_bundle.query_str, parameters)]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        parameters = self._asked(query_bundle)
        return [_node(hit) for hit in await search_async(self._source, query_bundle.query_str, parameters)]

    def _asked(self, query: QueryBundle) -> SearchParameters:
        options = query.options() if isinstance(query, HybridQuery) else {}
        return self._parameters.changed(options)


def metadata_condition(filters: MetadataFilters | None) -> str | None:
    """LlamaIndex's filters as `where` takes them. Raises `QueryError`."""
    if not isinstance(filters, MetadataFilters | None):
        raise QueryError(
            f"filters={shown(filters)}: give MetadataFilters(filters=[MetadataFilter(key='lang', value='ko')]), "
            "or a condition as where="
        )
    return None if filters is None or not filters.filters else as_sql(_condition(filters))


def _condition(filters: MetadataFilters) -> Condition:
    if filters.condition not in _LOGIC:
        raise QueryError(f"filters: unknown condition {filters.condition}")
    parts: list[Condition] = []
    for one in filters.filters:
        if isinstance(one, MetadataFilters):
            parts.append(_condition(one))
        else:
            operator = FilterOperator(one.operator)
            parts.append(Comparison(one.key, _OPERATORS.get(operator, operator.value), one.value))
    return Combination(_LOGIC[filters.condition], tuple(parts))


def _node(hit: Hit) -> NodeWithScore:
    hidden = [name for name, value in hit_fields(hit).items() if name not in SHOWN_TO_MODELS or not value]
    node = TextNode(
        id_=hit.chunk_id,
        text=hit.text,
        metadata=hit_metadata(hit),
        start_char_idx=hit.start,
        end_char_idx=hit.end,
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=hidden,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=hit.doc_id)},
    )
    return NodeWithScore(node=node, score=hit.score)
