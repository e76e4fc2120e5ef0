"""Encoders behind a server: Hugging Face Inference API, text-embeddings-inference, OpenAI-compatible."""

from __future__ import annotations

import logging
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Generic

import numpy as np

from pipeline.errors import EncoderError
from pipeline.forking import Lock, shared_property
from pipeline.models.contract import Encoder, LexicalScoring, Runtime, TokenCounter
from pipeline.models.endpoint.answers import (
    AnswerError,
    ServerInfo,
    SparseRow,
    dense_matrix,
    sparse_rows,
    unit_rows,
)
from pipeline.models.endpoint.batches import BatchRunner, Limits, Row, estimate_tokens
from pipeline.models.endpoint.http import JsonClient, Sleep
from pipeline.models.endpoint.settings import PLACEHOLDER, EndpointSettings
from pipeline.names import LEXICAL
from pipeline.records import Encoded, Fingerprint, Float32, SparseRows

logger = logging.getLogger(__name__)

TokenText = Callable[[int], str | None]
"""The readable form of a token id, if there is one."""

PROBE = "dimension"
COMMIT = re.compile(r"[0-9a-f]{7,40}")


def endpoint_encoder(
    settings: EndpointSettings,
    *,
    count_tokens: TokenCounter | None = None,
    token_text: TokenText | None = None,
    sleep: Sleep | None = None,
) -> Encoder:
    """The encoder of one endpoint: dense only, or, for `leg="lexical"`, lexical only.

    Cheap, and offline: the token is looked up and the server is asked by the first use. `count_tokens` cuts
    requests exactly instead of by a guess; `token_text` makes lexical token ids readable; `sleep` replaces the
    waits between attempts, which otherwise end at once when the call fails.
    """
    if settings.leg == LEXICAL:
        return EndpointLexicalEncoder(settings, count_tokens=count_tokens, token_text=token_text, sleep=sleep)
    return EndpointEncoder(settings, count_tokens=count_tokens, sleep=sleep)


def served(settings: EndpointSettings, client: JsonClient) -> ServerInfo:
    """What the server tells about itself. Raises `EncoderError` if it serves another model, or another kind."""
    url = settings.info_url
    if url is None:
        return ServerInfo()
    info = ServerInfo.of(client.get_if_found(url, threading.Event()))
    # A server started on a folder tells that folder's path, which says nothing about the model in it.
    if info.model and info.model[0] not in "/.~" and info.model.casefold() != settings.model.casefold():
        raise EncoderError(
            f"{url}: the server runs {info.model}, not {settings.key('model')}={settings.model}; "
            "correct one of them"
        )
    if info.revision and COMMIT.fullmatch(settings.revision) and not info.revision.startswith(settings.revision):
        raise EncoderError(
            f"{url}: the server runs revision {info.revision}, not "
            f"{settings.key('revision')}={settings.revision}; correct one of them"
        )
    if info.pooling and settings.leg == "rerank":
        raise EncoderError(
            f"{url}: the server runs an embedding model, which cannot rerank; "
            f"start one with a cross-encoder, or correct {settings.key('url')}"
        )
    if info.pooling and (info.pooling == "splade") != (settings.leg == LEXICAL):
        raise EncoderError(
            f"{url}: the server pools by {info.pooling}, which gives no {settings.leg} vectors; "
            "/embed_sparse needs a server started with --pooling splade, /embed one without"
        )
    return info


class _Endpoint(ABC, Generic[Row]):
    """What both legs share: the server's own description, instructions, batches."""

    lexical_scoring = LexicalScoring("dot")
    gives_multivectors = False

    def __init__(self, settings: EndpointSettings, count_tokens: TokenCounter | None, sleep: Sleep | None) -> None:
        self._settings = settings
        self.runtime = Runtime(f"endpoint ({settings.protocol})", settings.base_url, "the server's")
        self._sleep = sleep
        self._counter = count_tokens or estimate_tokens
        self._runner: BatchRunner[Row] = BatchRunner(settings.encode_url, self._ask, self._row_bytes)

    def close(self) -> None:
        """Close the connections; a later use opens new ones."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    @abstractmethod
    def _parsed(self, answer: object, count: int) -> Sequence[Row]:
        """The rows in a server's answer to `count` texts. Raises `EncoderError`."""

    @abstractmethod
    def _row_bytes(self, row: Row) -> int:
        """How much memory a row takes."""

    @shared_property
    def _client(self) -> JsonClient:
        return JsonClient(self._settings, self._sleep)

    @shared_property
    def _info(self) -> ServerInfo:
        """Asked for once; a server that serves another model than the configured one is refused here."""
        return served(self._settings, self._client)

    @shared_property
    def _fields(self) -> dict[str, object]:
        settings, info = self._settings, self._info
        return {
            "kind": "endpoint",
            "protocol": settings.protocol,
            "model": settings.model,
            "revision": info.revision or settings.revision or "unknown",
            "pooling": info.pooling or "server",
            "max_tokens": settings.max_tokens or info.max_tokens or "server",
            "query_instruction": _canonical(settings.query_instruction),
            "document_instruction": _canonical(settings.document_instruction),
            "precision": "float",
        }

    def _encode(self, texts: Sequence[str], instruction: str) -> list[Row]:
        settings, info = self._settings, self._info
        _ = self._client  # made here, not by several threads at once; a missing token shows before anything is sent
        limits = Limits(
            texts=min(settings.batch_texts, info.batch_texts or settings.batch_texts),
            tokens=min(settings.batch_tokens, info.batch_tokens or settings.batch_tokens),
            concurrency=settings.concurrency,
        )
        return self._runner.run([_instructed(text, instruction) for text in texts], limits, self._count)

    def _count(self, text: str) -> int:
        count = self._counter(text)
        longest = self._settings.max_tokens or self._info.max_tokens
        return min(count, longest) if longest else count

    def _ask(self, texts: Sequence[str], stop: threading.Event) -> Sequence[Row]:
        answer = self._client.post(self._settings.encode_url, self._payload(texts), stop)
        return self._parsed(answer, len(texts))

    def _payload(self, texts: Sequence[str]) -> dict[str, object]:
        if self._settings.protocol == "openai":
            return {"model": self._settings.model, "input": list(texts), "encoding_format": "float"}
        if self._settings.leg == LEXICAL:
            return {"inputs": list(texts), "truncate": True}
        return {"inputs": list(texts), "normalize": True, "truncate": True}


class EndpointEncoder(_Endpoint[Float32]):
    """Dense only: float32 (n, d), rows L2-normalised by us whatever the server does."""

    lexical_fingerprint: Fingerprint | None = None

    def __init__(
        self, settings: EndpointSettings, *, count_tokens: TokenCounter | None = None, sleep: Sleep | None = None
    ) -> None:
        super().__init__(settings, count_tokens, sleep)
        self._lock = Lock()
        self._columns: int | None = settings.dimension
        self._warned = False

    @property
    def dimension(self) -> int | None:
        """Columns of the dense matrix. If neither configured nor seen yet, one short text is sent to learn it."""
        if self._settings.truncate_dim is not None:
            return self._settings.truncate_dim
        if self._columns is None:
            self._encode([PROBE], "")
        return self._columns

    @shared_property
    def dense_fingerprint(self) -> Fingerprint | None:
        """Fingerprint of what is served, not of where: neither URL nor token is in it. May ask the server, once."""
        return Fingerprint.of(
            **self._fields,
            normalization="l2",
            dimension=self.dimension,
            truncate_dim=self._settings.truncate_dim or "none",
        )

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages; an unchanged call repeated after a failure asks only for what is missing."""
        return self._encoded(texts, self._settings.document_instruction)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries."""
        return self._encoded(texts, self._settings.query_instruction)

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """Nothing: there is no lexical side."""
        return {}

    def _encoded(self, texts: Sequence[str], instruction: str) -> Encoded:
        if not texts:
            return Encoded(dense=np.zeros((0, self.dimension or 0), np.float32))
        return Encoded(dense=np.stack(self._encode(texts, instruction)))

    def _parsed(self, answer: object, count: int) -> Sequence[Float32]:
        matrix = dense_matrix(self._settings.protocol, answer, count)
        columns = matrix.shape[1]
        rows = unit_rows(matrix, self._settings.truncate_dim)
        with self._lock:
            if self._columns is None:
                self._columns = columns
            if columns != self._columns:
                raise AnswerError(f"vectors of {columns} columns where {self._columns} were expected")
            self._compare_model(answer)
        return list(rows)

    def _compare_model(self, answer: object) -> None:
        named = answer.get("model") if isinstance(answer, dict) else None
        if isinstance(named, str) and not named.startswith(self._settings.model) and not self._warned:
            self._warned = True
            logger.warning(
                "%s: asked for %s, answered by %.80s", self._settings.encode_url, self._settings.model, named
            )

    def _row_bytes(self, row: Float32) -> int:
        return row.nbytes


class EndpointLexicalEncoder(_Endpoint[SparseRow]):
    """Lexical only, from a text-embeddings-inference server's `/embed_sparse`; scores are dot products."""

    dense_fingerprint: Fingerprint | None = None
    dimension: int | None = None

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        count_tokens: TokenCounter | None = None,
        token_text: TokenText | None = None,
        sleep: Sleep | None = None,
    ) -> None:
        super().__init__(settings, count_tokens, sleep)
        self._token_text = token_text

    @shared_property
    def lexical_fingerprint(self) -> Fingerprint | None:
        """Fingerprint of what is served, not of where. May ask the server, once."""
        return Fingerprint.of(**self._fields, leg=LEXICAL)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages; an unchanged call repeated after a failure asks only for what is missing."""
        return Encoded(lexical=SparseRows.from_dicts(self._encode(texts, self._settings.document_instruction)))

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries."""
        return Encoded(lexical=self._query_rows(texts))

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """The query's tokens; `token 123` where no tokenizer says how one is written. Asks the server."""
        (found,) = self.describe_queries([text])
        return found

    def describe_queries(self, texts: Sequence[str], rows: SparseRows | None = None) -> list[Mapping[int, str]]:
        """The tokens of several queries; asks the server about all at once, or not at all if `rows` are known."""
        known = self._query_rows(texts) if rows is None else rows
        return [{i: self._named(i) for i in known.row(row)[0].tolist()} for row in range(len(known))]

    def _query_rows(self, texts: Sequence[str]) -> SparseRows:
        return SparseRows.from_dicts(self._encode(texts, self._settings.query_instruction))

    def _named(self, token_id: int) -> str:
        return (self._token_text(token_id) if self._token_text else None) or f"token {token_id}"

    def _parsed(self, answer: object, count: int) -> Sequence[SparseRow]:
        return sparse_rows(answer, count)

    def _row_bytes(self, row: SparseRow) -> int:
        return 100 * len(row)


def _instructed(text: str, instruction: str) -> str:
    # Servers refuse an empty string; one space tokenizes to nothing too. A lone surrogate cannot be sent as UTF-8.
    whole = instruction.replace(PLACEHOLDER, text) if PLACEHOLDER in instruction else instruction + text
    return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") or " "


def _canonical(instruction: str) -> str:
    return instruction.removesuffix(PLACEHOLDER)
