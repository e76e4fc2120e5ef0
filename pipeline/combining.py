"""Calls that would wait for each other, answered together.

Who comes while nobody is at work starts at once, alone: nothing is held back to gather more. Who comes meanwhile
waits, and the first of those then answers for all that wait.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from pipeline.forking import PerProcess

Query = TypeVar("Query")
Answer = TypeVar("Answer")


HandOn = Callable[[], None]
"""Lets the next begin, while the one who calls it goes on with what it took."""


class Combiner(Generic[Query, Answer]):
    """One call at a time for any number of threads, a call for all that wait. A forked child starts anew."""

    def __init__(
        self,
        answer: Callable[[Sequence[Query], HandOn], Sequence[Answer]],
        *,
        most: int,
        size: Callable[[Query], int] = lambda _: 1,
        kind: Callable[[Query], Hashable] = lambda _: None,
    ) -> None:
        """`answer`: from queries of one kind to an answer each, which must not depend on the others.

        `most`: the sum of sizes that are answered together; a larger query is answered alone.
        """
        self._answer, self._most, self._size, self._kind = answer, most, size, kind
        self._desks: PerProcess[_Desk[Query, Answer]] = PerProcess(_Desk)

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return self._desks.get().waiting

    def __call__(self, query: Query) -> Answer:
        """The answer to a query. Raises what `answer` raises for it alone, whatever it was answered with."""
        desk = self._desks.get()
        if desk.leader == threading.get_ident():  # what answers has called on the way
            return self._answer([query], lambda: None)[0]
        call: _Call[Query, Answer] = _Call(query)
        try:
            desk.enter(call)
            is_alone = call.leads
            if not is_alone:
                call.woken.acquire()
            if call.leads:
                self._work(desk.take(call, self._fitting, is_alone), lambda: desk.hand_on(call))
        finally:
            desk.leave(call)
        return call.result()

    def _fitting(self, first: Query, waiting: Sequence[_Call[Query, Answer]]) -> list[_Call[Query, Answer]]:
        """Those that may be answered with `first`."""
        kind, size = self._kind(first), self._size(first)
        chosen = []
        for call in waiting:
            more = self._size(call.query)
            if size + more <= self._most and self._kind(call.query) == kind:
                chosen.append(call)
                size += more
        return chosen

    def _work(self, calls: Sequence[_Call[Query, Answer]], hand_on: HandOn) -> None:
        try:
            answers = self._answer([call.query for call in calls], hand_on)
            for call, answer in zip(calls, answers, strict=True):
                call.answered(answer)
        except Exception as error:
            if len(calls) == 1:
                calls[0].failed(error)
                return
            for call in calls:  # one of them is to blame, and only that one fails
                if not call.done:
                    self._work([call], hand_on)


class _Call(Generic[Query, Answer]):
    """A thread's query, and what becomes of it. `woken`: held until it is answered, or is to lead.

    `leads`: it answers its `party`; `in_charge`: and nobody else may begin before it hands on.
    """

    __slots__ = ("_answer", "_error", "done", "in_charge", "leads", "party", "query", "woken")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.leads = self.in_charge = self.done = False
        self.party: Sequence[_Call[Query, Answer]] = ()
        self.woken = threading.Lock()
        self.woken.acquire()
        self._answer: Any = None
        self._error: Exception | None = None

    def answered(self, answer: Answer) -> None:
        self._answer = answer
        self._finished()

    def failed(self, error: Exception) -> None:
        self._error = error
        self._finished()

    def _finished(self) -> None:
        self.done = True
        if not self.leads:
            self.woken.release()

    def result(self) -> Answer:
        if self._error is not None:
            raise self._error
        answer: Answer = self._answer
        return answer


class _Desk(Generic[Query, Answer]):
    """Who is at work in this process, and who waits. `leader`: its thread; 0: one that was named, and wakes up."""

    def __init__(self) -> None:
        self.leader: int | None = None
        self._waiting: deque[_Call[Query, Answer]] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self, call: _Call[Query, Answer]) -> None:
        """Wait, or lead if nobody is at work."""
        with self._lock:
            if self.leader is None:
                self._name(call)
            else:
                self._waiting.append(call)

    def take(
        self,
        call: _Call[Query, Answer],
        fitting: Callable[[Query, Sequence[_Call[Query, Answer]]], list[_Call[Query, Answer]]],
        is_alone: bool,
    ) -> Sequence[_Call[Query, Answer]]:
        """The calls that the leader answers, its own first. `is_alone`: nobody was at work when it came."""
        known = len(self._waiting) if is_alone else -1
        while len(self._waiting) > known:  # those who were answered together come again together
            known = len(self._waiting)
            time.sleep(0)
        with self._lock:
            self.leader = threading.get_ident()
            chosen = fitting(call.query, self._waiting)
            for other in chosen:
                self._waiting.remove(other)
            call.party = (call, *chosen)
        return call.party

    def hand_on(self, call: _Call[Query, Answer]) -> None:
        """Let the first of those who wait begin, if `call` is in charge."""
        with self._lock:
            if call.in_charge:
                call.in_charge, self.leader = False, None
                self._name_next()

    def leave(self, call: _Call[Query, Answer]) -> None:
        """Go, at whatever point: those that it took and did not answer wait again, and somebody is in charge."""
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
            unanswered = [other for other in call.party if other is not call and not other.done]
            call.party = ()  # it holds the call itself, and so would keep its answer and the index behind that
            self._waiting.extendleft(reversed(unanswered))
            if call.in_charge:
                call.in_charge, self.leader = False, None
            self._name_next()

    def _name_next(self) -> None:
        if self.leader is None and self._waiting:
            following = self._waiting.popleft()
            self._name(following)
            following.woken.release()

    def _name(self, call: _Call[Query, Answer]) -> None:
        self.leader, call.leads, call.in_charge = 0, True, True
