"""A cross-encoder behind a text-embeddings-inference server's `/rerank`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from pipeline.config import EndpointSection, RerankSettings
from pipeline.forking import shared_property
from pipeline.models.contract import Runtime
from pipeline.models.endpoint.answers import ServerInfo, rerank_scores
from pipeline.models.endpoint.batches import BatchRunner, Limits, estimate_tokens
from pipeline.models.endpoint.encoders import served
from pipeline.models.endpoint.http import JsonClient, Sleep
from pipeline.models.endpoint.settings import EndpointSettings
from pipeline.records import Float32


def endpoint_reranker(
    settings: RerankSettings, section: EndpointSection, sleep: Sleep | None = None
) -> EndpointReranker:
    """The reranker of `query.rerank.endpoint`. Offline until it is used. Raises `ConfigError`."""
    return EndpointReranker(
        EndpointSettings(
            model=settings.model,
            leg="rerank",
            revision=settings.revision or "",
            max_tokens=settings.max_tokens,
            **section.model_dump(),
        ),
        sleep,
    )


class EndpointReranker:
    """Sends a query with some passages at a time, several requests in flight; the server truncates."""

    def __init__(self, settings: EndpointSettings, sleep: Sleep | None = None) -> None:
        self._settings, self._sleep = settings, sleep
        self.runtime = Runtime("endpoint (tei)", settings.base_url, "the server's")

    @shared_property
    def _client(self) -> JsonClient:
        return JsonClient(self._settings, self._sleep)

    @shared_property
    def _info(self) -> ServerInfo:
        return served(self._settings, self._client)

    def score(self, query: str, passages: Sequence[str]) -> Float32:
        """The server's raw scores. Raises `EncoderError` naming the server."""
        settings, info = self._settings, self._info
        clean_query = _sendable(query)

        def ask(texts: Sequence[str], stop: threading.Event) -> Sequence[float]:
            payload = {"query": clean_query, "texts": list(texts), "raw_scores": True, "truncate": True}
            return rerank_scores(self._client.post(settings.encode_url, payload, stop), len(texts))

        longest = settings.max_tokens or info.max_tokens or settings.batch_tokens
        limits = Limits(
            texts=min(settings.batch_texts, info.batch_texts or settings.batch_texts),
            tokens=min(settings.batch_tokens, info.batch_tokens or settings.batch_tokens),
            concurrency=settings.concurrency,
        )
        extra = estimate_tokens(query)
        runner: BatchRunner[float] = BatchRunner(settings.encode_url, ask, lambda _: 8)
        rows = runner.run(
            [_sendable(passage) for passage in passages],
            limits,
            lambda passage: min(extra + estimate_tokens(passage), longest),
        )
        return np.array(rows, np.float32)


def _sendable(text: str) -> str:
    # A lone surrogate cannot be sent as UTF-8, and servers refuse an empty string.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") or " "
