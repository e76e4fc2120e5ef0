"""What is counted for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counters of one service, with a registry of their own."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self.requests = Counter(
            "hybrid_pipeline_requests", "Requests answered.", ("route", "method", "status"), registry=own
        )
        self.seconds = Histogram(
            "hybrid_pipeline_request_seconds", "Time of a request.", ("route",), buckets=_SECONDS, registry=own
        )
        self.stage = Histogram(
            "hybrid_pipeline_stage_seconds",
            "Time of a stage: read (the request's body), wait (for a thread), search, write (the answer as JSON).",
            ("stage",),
            buckets=_SECONDS,
            registry=own,
        )
        self.in_flight = Gauge("hybrid_pipeline_in_flight", "Requests at work or waiting for it.", registry=own)
        self.rejected = Counter(
            "hybrid_pipeline_rejected",
            "Requests refused: queue, timeout, size, key, host.",
            ("reason",),
            registry=own,
        )
        of_index = ("index",)
        self.generation = Gauge(
            "hybrid_pipeline_index_generation", "The generation that is answered from.", of_index, registry=own
        )
        self.created = Gauge(
            "hybrid_pipeline_index_created_seconds", "When it was built, in Unix time.", of_index, registry=own
        )
        self.age = Gauge("hybrid_pipeline_index_age_seconds", "How long ago it was built.", of_index, registry=own)
        self.chunks = Gauge("hybrid_pipeline_index_chunks", "Live chunks.", of_index, registry=own)
        self.refused = Gauge(
            "hybrid_pipeline_index_refused_generation",
            "A newer generation that could not be taken; 0: none.",
            of_index,
            registry=own,
        )
        self.refreshes = Counter(
            "hybrid_pipeline_index_refreshes", "New generations: taken, refused.", ("index", "result"), registry=own
        )
        self.open_generations = Gauge(
            "hybrid_pipeline_index_open_generations", "Generations that still have readers.", of_index, registry=own
        )

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self._registry)
