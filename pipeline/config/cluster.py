"""Settings of builds whose shards are encoded by the workers of a cluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.search import Settings


class ClusterSettings(Settings):
    """`workers`: most at a time; none: as many as there is room for. `cpus`, `gpus`: of each; no `cpus`: a whole
    machine's where it has no GPU, else one; no `gpus`: one where `encode.devices` or `encoder.device` names a GPU.

    `attempts`: how often a shard is tried, each time elsewhere if possible. `start_seconds`: how long to wait while
    no worker is there. `imports`: modules that workers import first, which register an application's own kinds.
    """

    workers: int | None = Field(default=None, ge=1)
    cpus: float | None = Field(default=None, ge=0)
    gpus: float | None = Field(default=None, ge=0)
    attempts: int = Field(default=3, ge=1)
    start_seconds: float = Field(default=600.0, gt=0)
    imports: list[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]] = Field(default=[])
