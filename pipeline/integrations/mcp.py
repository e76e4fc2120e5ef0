"""An MCP server over open indexes (extra `mcp`): tools that search and read, and documents as resources."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field

from pipeline.config.boosts import MOST as MOST_BOOSTS
from pipeline.config.boosts import SHAPES
from pipeline.errors import PipelineError, QueryError, ShardsFailedError
from pipeline.integrations.agent_answers import (
    TEMPLATE,
    DocumentResult,
    IndexesResult,
    PartialResult,
    SearchResult,
    document_result,
    index_result,
    search_result,
)
from pipeline.integrations.extras import needs_extra
from pipeline.integrations.lending import Answering, Lender
from pipeline.names import Mode
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
MOST_HITS, MOST_PASSAGES, MOST_NEIGHBOURS, LONGEST_TEXT = 50, 100, 5, 8192
_FAILED = "the index could not be searched; the server's log says why"

Query = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT, description="A question or words.")]
Hits = Annotated[int, Field(ge=1, le=MOST_HITS, description="How many passages.")]
Name = Annotated[str | None, Field(description="An index by name, as index_info lists them; null: the first.")]
Legs = Annotated[
    Mode | None, Field(description="dense: by meaning, lexical: by words, hybrid: both. null: as configured.")
]
Filter = Annotated[
    str | None,
    Field(description="An SQL condition on fields that index_info lists, as in: lang = 'ko' and year >= 2024"),
]
Neighbours = Annotated[
    int, Field(ge=0, le=MOST_NEIGHBOURS, description="Passages to show before and after each hit.")
]
Boosts = Annotated[
    list[str] | None,
    Field(
        max_length=MOST_BOOSTS,
        description=f"What multiplies scores by a field's value, such as {SHAPES}. null: as configured.",
    ),
]
Texts = Annotated[list[Query] | None, Field(max_length=20)]
Documents = Annotated[list[str] | None, Field(max_length=20)]

R = TypeVar("R", bound=PartialResult)

log = logging.getLogger(__name__)


def mcp_server(indexes: Mapping[str, Index | Lender]) -> MCPServer:
    """A server that answers from indexes by name, the first being the one that is meant unless a call says it.

    An index that something else moves on to new generations is passed as what lends it. The indexes stay the
    caller's to close.
    """
    server: MCPServer = MCPServer(
        "hybrid-pipeline",
        title="Document search",
        instructions=INSTRUCTIONS,
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
        one_per_document: Annotated[bool, Field(description="Only the best passage of each document.")] = False,
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
        doc_id: Annotated[str, Field(description="The id of a document, as hits have it.")],
        first: Annotated[int, Field(ge=0, description="The passage to begin with, from 0.")] = 0,
        passages: Annotated[int, Field(ge=1, le=MOST_PASSAGES, description="How many passages.")] = 20,
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
        doc_ids: Documents = None,
        texts: Texts = None,
        unlike_doc_ids: Documents = None,
        unlike_texts: Texts = None,
        k: Hits = 8,
        mode: Legs = None,
        filter: Filter = None,  # noqa: A002
        one_per_document: Annotated[bool, Field(description="Only the best passage of each document.")] = True,
        context: Neighbours = 0,
        boosts: Boosts = None,
        index: Name = None,
    ) -> SearchResult:
        """Find documents that are like the given documents and texts, and unlike others. Give at least one."""

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
                raise ToolError(_without_folder(str(error), index, chosen)) from None

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
                raise ToolError(_without_folder(str(error), index, chosen)) from None
            except PipelineError as error:
                raise _told(chosen, error) from None

    def _chosen(self, name: str | None) -> str:
        chosen = self.names[0] if name is None else name
        if chosen not in self._indexes:
            raise ToolError(f"there is no index {chosen!r}; there are: {', '.join(self.names)}")
        return chosen


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


def _without_folder(message: str, index: Index, name: str) -> str:
    for form in (index.path.resolve(), index.path.absolute(), index.path):
        message = message.replace(str(form), f"index {name}") if form.name else message
    return message
