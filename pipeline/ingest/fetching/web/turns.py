"""Which page is asked for next: several hosts are asked at a time, each for one page after the other."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from queue import Empty, SimpleQueue
from types import TracebackType

from pipeline.ingest.fetching.web.addresses import origin
from pipeline.ingest.fetching.web.client import Client, Permit, Reply, Wanted
from pipeline.ingest.formats.decoding import UnreadableError

MOST_AT_ONCE = 8
"""Requests under way. As many answers are in memory at most."""
_LOOK_SECONDS = 0.2
"""How often the caller looks up: a signal that comes just before it waits does not end the wait."""
_LEAVE_SECONDS = 0.5
"""How long threads are waited for whose work nobody wants any more."""

Outcome = Reply | UnreadableError


def answers(
    client: Client, pages: Mapping[int, str], wanted: Callable[[str], Wanted], permit: Permit
) -> Generator[tuple[int, Outcome], None, None]:
    """The answer to each page, or why there is none, with the page's number, as they come.

    `pages`: addresses by number; those of one host are asked for in this order, one at a time. `wanted`: makes the
    request for an address when its turn has come, in the calling thread. Whoever does not take all answers closes
    the iterator, and then the client: what is under way is not waited for.
    """
    waiting: dict[str, deque[int]] = {}
    for number, address in pages.items():
        waiting.setdefault(origin(address), deque()).append(number)
    ready = [(client.pace.due(host), numbers[0], host) for host, numbers in waiting.items()]
    heapq.heapify(ready)
    most, under_way = min(MOST_AT_ONCE, len(ready)), 0
    with _Threads(most, lambda request: client.get(request, permit)) as threads:
        while ready or under_way:
            now = client.pace.now()
            while ready and under_way < most and ready[0][0] <= now:
                _, number, host = heapq.heappop(ready)
                threads.ask(number, wanted(pages[number]))
                under_way += 1
            answer = threads.answer(ready[0][0] - now if ready and under_way < most else None)
            if answer is None:
                continue
            under_way -= 1
            host = origin(pages[answer[0]])
            waiting[host].popleft()
            if waiting[host]:
                heapq.heappush(ready, (client.pace.due(host), waiting[host][0], host))
            yield answer


class _Threads:
    """Threads that ask, and never touch a file. Raises in `answer` what was raised there, but for what is an
    outcome. They end with the block, or later by themselves if one of them waits for a server."""

    def __init__(self, count: int, ask: Callable[[Wanted], Reply]) -> None:
        self._ask = ask
        self._requests: SimpleQueue[tuple[int, Wanted] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[int, Outcome | BaseException]] = SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name="fetch-pages", daemon=True) for _ in range(count)]

    def __enter__(self) -> _Threads:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in self._threads:
            self._requests.put(None)
        deadline = time.monotonic() + _LEAVE_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def ask(self, number: int, request: Wanted) -> None:
        """Have a thread ask, as soon as one is free."""
        self._requests.put((number, request))

    def answer(self, seconds: float | None) -> tuple[int, Outcome] | None:
        """The next answer; `None` if there is none within so many seconds, or for a while."""
        wait = _LOOK_SECONDS if seconds is None else max(0.0, min(seconds, _LOOK_SECONDS))
        try:
            number, outcome = self._answers.get(timeout=wait)
        except Empty:
            return None
        if isinstance(outcome, Reply | UnreadableError):
            return number, outcome
        raise outcome

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self._answers.put((request[0], self._ask(request[1])))
            except BaseException as error:
                self._answers.put((request[0], error))
