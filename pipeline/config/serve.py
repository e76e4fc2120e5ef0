"""The section of config.yaml about the search service: what one request may ask for, and how many at a time."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.search import Settings

Origin = Annotated[str, Field(pattern=r"^https?://[^/*\s]+$")]


class ServeLimits(Settings):
    """What one request may ask for at most; docs/serve.md."""

    body_kb: int = Field(default=1024, ge=1, le=1_000_000)
    query_characters: int = Field(default=8192, ge=1)
    queries: int = Field(default=64, ge=1)
    k: int = Field(default=1000, ge=1)
    rerank_top: int = Field(default=200, ge=1)
    context: int = Field(default=10, ge=0)
    facets: int = Field(default=20, ge=0)
    facet_values: int = Field(default=1000, ge=1)
    texts: int = Field(default=256, ge=1)
    seconds: float = Field(default=30.0, gt=0)


class ServeSettings(Settings):
    """How `pipeline serve` answers; docs/serve.md describes the keys.

    `threads`: how many requests are answered at once; `queue`: how many more may wait, others are told to come
    again. `refresh_seconds`: how often it looks for a new generation. `drain_seconds`: how long a service that is
    told to stop goes on with what it has begun. `hosts`: names that clients may call it by.
    `groups_header`: the header in which a trusted server in front names the groups of who asks.
    `cors_origins`: origins such as `https://example.org`, whose pages may call it.
    """

    threads: int = Field(default=8, ge=1, le=1024)
    queue: int = Field(default=64, ge=0)
    refresh_seconds: float = Field(default=5.0, gt=0)
    drain_seconds: int = Field(default=30, ge=0)
    hosts: list[str] = Field(default=[])
    cors_origins: list[Origin] = Field(default=[])
    groups_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")
    limits: ServeLimits = ServeLimits()
