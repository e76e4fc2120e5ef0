"""Whether the service lives and is ready."""

from __future__ import annotations

from pipeline.query.access import ALL_GROUPS
from pipeline.serve.endpoint import Call, Endpoint
from pipeline.serve.guard.gate import CALLER
from pipeline.serve.routes.indexes import refused_answer
from pipeline.serve.schemas.indexes import LiveAnswer, ReadyAnswer, ReadyIndex


def live(call: Call) -> LiveAnswer:
    """Say that the process runs."""
    return LiveAnswer()


def ready(call: Call) -> ReadyAnswer:
    """Say that searches are answered, and by which generations. A newer one that was refused does not end that."""
    indexes: dict[str, ReadyIndex] = {}
    for holder in call.service.holders.values() if CALLER.get().roles else ():
        with holder.lent(ALL_GROUPS) as index:
            generation = index.manifest.generation
        indexes[holder.name] = ReadyIndex(generation=generation, refused=refused_answer(holder))
    return ReadyAnswer(status="ready", indexes=indexes)


ENDPOINTS = (
    Endpoint("GET", "/livez", "Say that the process runs", "health", live, LiveAnswer, quick=True),
    Endpoint("GET", "/readyz", "Say that searches are answered", "health", ready, ReadyAnswer, quick=True),
)
