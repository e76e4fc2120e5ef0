"""A LangChain retriever and embeddings (extra `langchain`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Unpack

from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from pipeline.errors import QueryError
from pipeline.integrations.extras import needs_extra
from pipeline.integrations.metadata import hit_metadata
from pipeline.integrations.parameters import CallOptions, SearchParameters
from pipeline.integrations.source import IndexOrPath, Source, index_source, open_source, search_async
from pipeline.query.access import AllGroups
from pipeline.query.request import Boosts, Fusion, Rerank, refuse_unknown
from pipeline.records import Hit

with needs_extra("langchain"):
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever


class HybridRetriever(BaseRetriever):
    """Finds a query's best chunks as documents.

    `index`: an open index, which stays the caller's to close, or its folder. `url`: a running service in its place,
    one of whose indexes `index` may name; with `api_key` and `headers`. `groups`: of the reader, where the index
    has an access field; a call's are narrowed to these. The other arguments are those of `Index.search`; `invoke`
    and `ainvoke` take them too, for one call: `retriever.invoke("…", k=3)`.
    Raises what `open_index` raises, `TypeError` for an argument that there is not, `ValidationError` for arguments
    that no index could make sense of; a search raises what `Index.search` raises, and `ServiceError`.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    index: IndexOrPath | None = None
    url: str | None = None
    api_key: SecretStr | None = None
    headers: dict[str, str] | None = Field(default=None, repr=False)
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
    groups: list[str] | AllGroups | None = None
    highlights: bool | None = None
    merge: bool | None = None
    group: str | None = None
    group_size: int | None = None
    boosts: Boosts = None
    now: datetime | None = Field(default=None, strict=True)
    _source: Source = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _all_are_known(cls, given: Any) -> Any:
        if isinstance(given, Mapping):  # else it is a retriever already, in a field of another model
            refuse_unknown(given, cls.model_fields)
        return given

    def model_post_init(self, context: Any, /) -> None:
        """Open what the arguments name."""
        super().model_post_init(context)
        try:
            self._parameters({}).checked(by_service=self.url is not None)
        except QueryError as error:
            raise ValueError(str(error)) from None  # of which pydantic makes its own
        key = None if self.api_key is None else self.api_key.get_secret_value()
        self._source = open_source(self.index, self.url, key, self.headers, self.groups)

    def refresh(self) -> None:
        """Go on with the live generation."""
        self._source.refresh()

    def _parameters(self, options: CallOptions) -> SearchParameters:
        made_with = {name: getattr(self, name) for name in CallOptions.__annotations__}
        return SearchParameters(**made_with).changed(options)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **options: Unpack[CallOptions]
    ) -> list[Document]:
        return [_document(hit) for hit in self._source.search(query, self._parameters(options))]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **options: Unpack[CallOptions]
    ) -> list[Document]:
        hits = await search_async(self._source, query, self._parameters(options))
        return [_document(hit) for hit in hits]


class HybridEmbeddings(Embeddings):
    """The dense vectors of an index's encoder, with its instructions for passages and for queries.

    `index`: an open index, or its folder. Raises what `open_index` raises; a call raises `QueryError` where the
    index has no dense leg.
    """

    def __init__(self, index: IndexOrPath) -> None:
        self._source = index_source(index)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Passages as L2-normalised vectors."""
        return self._source.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """A query as an L2-normalised vector."""
        return self._source.embed_query(text)


def _document(hit: Hit) -> Document:
    return Document(id=hit.chunk_id, page_content=hit.text, metadata=hit_metadata(hit))
