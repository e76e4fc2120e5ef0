"""An MCP server over open indexes (extra `mcp`): tools that search and read, and documents as resources."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import PipelineError, QueryError, ShardsFailedError
from pipeline.integrations.agents.answers import (
    TEMPLATE,
    DocumentResult,
    IndexesResult,
    PartialResult,
    SearchResult,
    document_result,
    index_result,
    search_result,
)
from pipeline.integrations.agents.arguments import (
    Boosts,
    DocumentId,
    Filter,
    First,
    Hits,
    Legs,
    LikeDocuments,
    LikeTexts,
    Name,
    Neighbours,
    OnePerDocument,
    Passages,
    Query,
    UnlikeDocuments,
    UnlikeTexts,
    with_examples,
)
from pipeline.integrations.agents.server import ToolServer
from pipeline.integrations.extras import needs_extra
from pipeline.integrations.lending import Answering, Lender
from pipeline.query.searcher import Index
from pipeline.query.shards.sharded import ShardedIndex
from pipeline.query.showing.document import joined_text
from pipeline.query.similar import Examples

with needs_extra("mcp"):
    from mcp.server.mcpserver import MCPServer, ResourceSecurity
    from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
    from mcp.server.transport_security import TransportSecuritySettings
    from mcp_types import ToolAnnotations

if TYPE_CHECKING:
    from starlette.applications import Starlette

INSTRUCTIONS = """\
Search a collection of documents by meaning and by words at once. Ask `search` in whole questions, in any language
of the collection; `read_document` shows what stands around a hit, `similar` finds more like it, and `index_info`
lists the indexes and the fields that filters may use. Cite the source and the headings of what you use.
"""
READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_FAILED = "the index could not be searched; the server's log says why"

R = TypeVar("R", bound=PartialResult)

log = logging.getLogger(__name__)


def mcp_server(indexes: Mapping[str, Index | Lender]) -> MCPServer:
    """A server that answers from indexes by name, the first being the one that is meant unless a call says it.

    An index that something else moves on to new generations is passed as what lends it. The indexes stay the
    caller's to close.
    """
    server = ToolServer(
        "hybrid-pipeline",
        title="Document search",
        instructions=INSTRUCTIONS,
        version=version("hybrid-pipeline"),
        log_level="WARNING",
        # The id of a document is looked up among those of the index; it is no path.
        resource_security=ResourceSecurity(exempt_params={"doc_id"}),
    )
    lenders = _Lenders(indexes)

    @server.tool(title="Search the documents", annotations=READS)
    def search(
        query: Query,
        k: Hits = 8,
        mode: Legs = None,
        filter: Filter = None,  # noqa: A002 - the word of every other door
        one_per_document: OnePerDocument = False,
        context: Neighbours = 0,
        boosts: Boosts = None,
        index: Name = None,
    ) -> SearchResult:
        """Find the passages that answer a question, best first, by meaning and by words at once."""

        def work(name: str, opened: Index) -> SearchResult:
            hits = opened.search(
                query, k, mode, where=filter, collapse=one_per_document, context=context, boosts=boosts
            )
            return search_result(name, opened, hits)

        return lenders.answered(index, work)

    @server.tool(title="Read a document", annotations=READS)
    def read_document(
        doc_id: DocumentId,
        first: First = 0,
        passages: Passages = 20,
        index: Name = None,
    ) -> DocumentResult:
        """Read a document, passage by passage in its order."""

        def work(name: str, opened: Index) -> DocumentResult:
            chunks = opened.document(doc_id)
            if not chunks:
                raise ToolError(_absent(name, opened, doc_id))
            return document_result(name, opened, chunks, first, passages)

        return lenders.answered(index, work)

    @server.tool(title="Find similar documents", annotations=READS)
    def similar(
        doc_ids: LikeDocuments = None,
        texts: LikeTexts = None,
        unlike_doc_ids: UnlikeDocuments = None,
        unlike_texts: UnlikeTexts = None,
        k: Hits = 8,
        mode: Legs = None,
        filter: Filter = None,  # noqa: A002
        one_per_document: OnePerDocument = True,
        context: Neighbours = 0,
        boosts: Boosts = None,
        index: Name = None,
    ) -> SearchResult:
        """Find documents like the given documents and texts, and unlike others. Give at least one to be like."""

        def work(name: str, opened: Index) -> SearchResult:
            examples = Examples(
                documents=tuple(doc_ids or ()),
                texts=tuple(texts or ()),
                unlike_documents=tuple(unlike_doc_ids or ()),
                unlike_texts=tuple(unlike_texts or ()),
            )
            hits = opened.similar(
                examples, k, mode, where=filter, collapse=one_per_document, context=context, boosts=boosts
            )
            return search_result(name, opened, hits)

        return lenders.answered(index, work)

    @server.tool(title="List the indexes", annotations=READS)
    def index_info(index: Name = None) -> IndexesResult:
        """List the indexes, or one: how much they hold, from when they are, and the fields that filters may use."""
        found = []
        for one in lenders.names if index is None else [index]:
            with lenders.lent(one) as (name, opened):
                found.append(index_result(name, opened))
        return IndexesResult(indexes=found)

    @server.resource(TEMPLATE, name="document", title="A document", mime_type="text/plain")
    def document(index: str, doc_id: str) -> str:
        """The text of a document, of all its passages."""
        if index not in lenders.names:
            raise ResourceNotFoundError(_unknown_index(index, lenders.names))
        try:
            with lenders.lent(index) as (name, opened):
                chunks = opened.document(doc_id)
        except ToolError as error:
            raise ResourceError(str(error)) from None
        if not chunks:
            raise ResourceNotFoundError(f"index {name} has no document {doc_id!r}")
        return joined_text(chunks)

    return server


def http_app(server: MCPServer, hosts: Sequence[str] | None = None, most_bytes: int = 1 << 20) -> Starlette:
    """The server as an ASGI application that answers at `/mcp`, without sessions, to any number of clients.

    `hosts`: names by which it may be called, with `:*` for any port; `None`: this machine's; none: any, for a
    service that checks them itself. `most_bytes`: how large a request may be. Its
    lifespan must run, or `server.session_manager.run()`, where it is mounted.
    """
    security = None
    if hosts is not None:
        security = TransportSecuritySettings(
            enable_dns_rebinding_protection=bool(hosts), allowed_hosts=list(hosts), allowed_origins=[]
        )
    return server.streamable_http_app(
        stateless_http=True, json_response=True, max_request_body_size=most_bytes, transport_security=security
    )


class _Lenders:
    """The indexes by name, and what a call is told when one cannot answer."""

    def __init__(self, indexes: Mapping[str, Index | Lender]) -> None:
        self._indexes = dict(indexes)
        self.names = list(self._indexes)

    def answered(self, name: str | None, work: Callable[[str, Index], R]) -> R:
        """What `work` makes of an index and its name, and which shards are missing. Raises as `lent` does."""
        found = self._indexes[self._chosen(name)]
        if not isinstance(found, Answering):
            with self.lent(name) as (chosen, index):
                return work(chosen, index)
        chosen = self._chosen(name)

        def asked(index: Index) -> R:
            try:
                return work(chosen, index)
            except QueryError as error:
                raise ToolError(_in_words(error, index, chosen)) from None

        try:
            answer, missing = found.answered(asked)
        except PipelineError as error:
            raise _told(chosen, error) from None
        return answer.model_copy(update={"partial": True, "missing_shards": list(missing)}) if missing else answer

    @contextmanager
    def lent(self, name: str | None) -> Iterator[tuple[str, Index]]:
        """An index and its name. What goes wrong becomes a `ToolError` that names no folder."""
        chosen = self._chosen(name)
        found = self._indexes[chosen]
        with contextlib.nullcontext(found) if isinstance(found, Index) else found.lent() as index:
            try:
                yield chosen, index
            except QueryError as error:
                raise ToolError(_in_words(error, index, chosen)) from None
            except PipelineError as error:
                raise _told(chosen, error) from None

    def _chosen(self, name: str | None) -> str:
        chosen = self.names[0] if name is None else name
        if chosen not in self._indexes:
            raise ToolError(_unknown_index(chosen, self.names))
        return chosen


def _unknown_index(name: str, known: Sequence[str]) -> str:
    return f"there is no index {name!r}; there are: {', '.join(known)}"


def _told(name: str, error: PipelineError) -> ToolError:
    log.error("index %s: %s", name, error)
    if isinstance(error, ShardsFailedError):
        which = ", ".join(sorted(error.shards))
        return ToolError(f"shards of index {name} did not answer: {which}; ask again later")
    return ToolError(_FAILED)


def _absent(name: str, index: Index, doc_id: str) -> str:
    if isinstance(index, ShardedIndex) and index.missing:
        which = ", ".join(index.missing)
        return f"index {name} has no document {doc_id!r} in the shards that answer; {which} did not"
    return f"index {name} has no document {doc_id!r}; search finds ids"


def _in_words(error: QueryError, index: Index, name: str) -> str:
    """What an agent is told, which knows no folders and reads no pages of documentation."""
    message = with_examples(str(error))
    for form in (index.path.resolve(), index.path.absolute(), index.path):
        message = message.replace(str(form), f"index {name}") if form.name else message
    return message
