"""The shards of one index, asked at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, runtime_checkable

from pipeline.errors import GenerationGoneError, QueryError, ServiceError, ShardsFailedError
from pipeline.forking import PerProcess
from pipeline.query.access import ALL_GROUPS, AllGroups, Groups, chosen_groups
from pipeline.query.shards.messages import Message, NoMessageError
from pipeline.query.shards.partition import Share

_THREADS = 32
DOWN_SECONDS = 5.0
"""For so long those who put up with missing shards do not wait again for one that failed."""
QUERY, GONE, FAILED = "query", "gone", "failed"
"""Why a shard gives no answer: the question makes no sense, the generation is another, the shard is to blame."""


class Shard(Protocol):
    """A way to a shard. For any number of threads."""

    @property
    def address(self) -> str:
        """Where it is, for people; holds no secret."""

    def ask(self, question: bytes) -> bytes:
        """The answer, as it came. Raises `ServiceError` if there is none in time."""

    def close(self) -> None:
        """Release what the way takes."""


@runtime_checkable
class PromptShard(Shard, Protocol):
    """A way that takes a question without waiting for its answer: asked by the thread that asks all others."""

    def begin(self, question: bytes) -> Callable[[], bytes] | None:
        """Send a question, and return what waits for the answer as `ask` does; `None`: nothing was sent, as sending
        would have to wait."""


class Panel:
    """All shards of an index, the first is share 0. `name`: of the index, for errors."""

    def __init__(self, name: str, shards: Sequence[Shard]) -> None:
        self.name, self.shards = name, tuple(shards)
        self.shares = tuple(Share(number, len(shards)) for number in range(len(shards)))
        self._begins = [shard.begin if isinstance(shard, PromptShard) else _not_begun for shard in self.shards]
        self._down: dict[int, float] = {}
        self._threads = PerProcess(lambda: ThreadPoolExecutor(_THREADS, thread_name_prefix="shards"))

    def ask(self, questions: Mapping[int, Message]) -> dict[int, Message]:
        """The answer of each shard to its question; shards by their place, from 0.

        Raises `ShardsFailedError` that names all that failed, `GenerationGoneError`, and the `QueryError` of a
        shard.
        """
        outcomes = self.outcomes(questions)
        errors = {place: found for place, found in outcomes.items() if not isinstance(found, Message)}
        for found in errors.values():
            if isinstance(found, QueryError):
                raise found
        if errors:
            reasons = {str(self.shares[place]): str(error) for place, error in errors.items()}
            moved = any(isinstance(error, _GoneError) for error in errors.values())
            raise (GenerationGoneError if moved else ShardsFailedError)(self.name, reasons)
        return {place: found for place, found in outcomes.items() if isinstance(found, Message)}

    def outcomes(self, questions: Mapping[int, Message]) -> dict[int, Message | Exception]:
        """The answer of each shard, or why there is none.

        All are sent before any answer is waited for. Those that cannot be sent at once are threads' work.
        """
        begun = {place: self._begun(place, question, len(questions)) for place, question in questions.items()}
        return {place: self._outcome(place, finish) for place, finish in begun.items()}

    def _begun(self, place: int, question: Message, together: int) -> Callable[[], bytes]:
        """What waits for the answer of a shard, which has its question or soon will."""
        shard, fields = self.shards[place], {**question.fields, "share": str(self.shares[place])}
        data = Message(fields, question.arrays).to_bytes()
        finish = self._begins[place](data)
        if finish is not None:
            return finish
        return partial(shard.ask, data) if together == 1 else self._threads.get().submit(shard.ask, data).result

    def _outcome(self, place: int, finish: Callable[[], bytes]) -> Message | Exception:
        try:
            answer = Message.of_bytes(finish())
        except NoMessageError as error:
            return ServiceError(f"{self.shards[place].address} {error}")
        except ServiceError as error:
            return error
        return _error_of(answer) or answer

    def failed(self, shards: Collection[str]) -> frozenset[int]:
        """Remember for a while that shards of these names failed; their places."""
        places = frozenset(place for place, share in enumerate(self.shares) if str(share) in shards)
        until = time.monotonic() + DOWN_SECONDS
        self._down.update(dict.fromkeys(places, until))
        return places

    @property
    def down(self) -> frozenset[int]:
        """The places of shards that failed a short while ago."""
        now = time.monotonic()
        return frozenset(place for place, until in self._down.items() if until > now)

    def close(self) -> None:
        """Let go of all shards."""
        if (pool := self._threads.made()) is not None:
            pool.shutdown(wait=False)
        for shard in self.shards:
            shard.close()


class _GoneError(ServiceError):
    """The shard has another generation."""


def _not_begun(question: bytes) -> None:
    """Say that nothing was sent."""


def error_answer(kind: str, words: str) -> bytes:
    """What a shard says that has no answer."""
    return Message({"error": kind, "words": words}).to_bytes()


def _error_of(answer: Message) -> Exception | None:
    kind = answer.fields.get("error")
    if kind is None:
        return None
    words = str(answer.fields.get("words", "no reason given"))
    kinds: dict[str, type[Exception]] = {QUERY: QueryError, GONE: _GoneError}
    return kinds.get(str(kind), ServiceError)(words)


def groups_to_field(groups: Groups) -> list[str] | None:
    """Groups as a question has them; `None`: all."""
    return None if isinstance(groups, AllGroups) else sorted(groups)


def groups_of(field: object) -> Groups:
    """The reverse. Raises `QueryError`."""
    return ALL_GROUPS if field is None else chosen_groups(field)
