"""Shards in this process: the bytes of every question and answer are made and read, no network is between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import ServiceError
from pipeline.query.access import ALL_GROUPS, Groups
from pipeline.query.shards.partition import Share
from pipeline.query.shards.served import ServedShare
from pipeline.query.shards.sharded import ShardedIndex, open_shards
from tests.faults import stub


class NearShard:
    """A shard at hand. `broken`: what it answers instead, or raises. `asked`: how many questions it got."""

    def __init__(self, served: ServedShare, caller: Groups = ALL_GROUPS) -> None:
        self.served, self.caller = served, caller
        self.broken: Callable[[bytes], bytes] | None = None
        self.asked = 0

    @property
    def address(self) -> str:
        return f"near shard {self.served.share}"

    def ask(self, question: bytes) -> bytes:
        self.asked += 1
        if self.broken is not None:
            return self.broken(question)
        return self.served.answer(question, self.caller)

    def close(self) -> None:
        self.served.close()


def down(question: bytes) -> bytes:
    """Answer as a shard does that is not there."""
    raise ServiceError("cannot be reached")


def near_shards(path: Path, count: int) -> list[NearShard]:
    """The shards of an index, all in this process."""
    return [NearShard(ServedShare(path, Share(number, count))) for number in range(count)]


def front(path: Path, count: int, **options: Any) -> tuple[ShardedIndex, list[NearShard]]:
    """An index over such shards with the stub's encoder, and the shards."""
    shards = near_shards(path, count)
    return open_shards(shards, **({"encoder": stub.encoder(), "groups": ALL_GROUPS} | options)), shards
