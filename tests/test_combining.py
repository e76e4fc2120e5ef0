"""Calls that wait for each other: answered together, each with its own answer or error; nobody waits for ever."""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.combining import Combiner, HandOn
from tests.faults import processes


class Office:
    """Answers a number by ten times it, and notes what was asked together. `hold` stops the work on one number.

    A number in `bad` fails what it is asked with; `interrupted` ends its work as Ctrl-C would, once.
    """

    def __init__(self, bad: Sequence[int] = (), interrupted: int | None = None) -> None:
        self.calls: list[tuple[int, ...]] = []
        self.threads: list[str] = []
        self.bad, self.interrupted = set(bad), interrupted
        self.held: int | None = None
        self.busy, self.go = threading.Event(), threading.Event()

    def __call__(self, numbers: Sequence[int], hand_on: HandOn = lambda: None) -> list[int]:
        self.calls.append(tuple(numbers))
        self.threads.append(threading.current_thread().name)
        if self.held in numbers:
            self.busy.set()
            assert self.go.wait(60)
        if self.interrupted in numbers:
            self.interrupted = None
            raise KeyboardInterrupt
        if wrong := self.bad & set(numbers):
            raise ValueError(f"bad: {sorted(wrong)}")
        return [10 * number for number in numbers]


def combiner(office: Callable[[Sequence[int], HandOn], Sequence[int]], most: int = 16) -> Combiner[int, int]:
    """Odd and even numbers are of two kinds from 100 on; a number of 1000 and more counts as ten."""
    return Combiner(
        office,
        most=most,
        size=lambda number: 10 if number >= 1000 else 1,
        kind=lambda number: number % 2 if number >= 100 else None,
    )


def asked_while_busy(
    office: Office, combined: Combiner[int, int], numbers: Sequence[int], first: int = 1
) -> tuple[Future[int], list[Future[int]]]:
    """Ask `numbers`, in this order, while `first` is at work; then let it go. Ends when all are done."""
    office.held = first
    with ThreadPoolExecutor(len(numbers) + 1) as pool:
        leader = pool.submit(combined, first)
        assert office.busy.wait(60)
        futures = []
        for count, number in enumerate(numbers, 1):
            futures.append(pool.submit(combined, number))
            while combined.waiting < count:
                pass
        office.go.set()
    return leader, futures


def test_a_lone_call_is_answered_at_once_by_its_own_thread() -> None:
    office = Office()
    combined = combiner(office)
    assert [combined(7), combined(8)] == [70, 80]
    assert office.calls == [(7,), (8,)]
    assert set(office.threads) == {threading.current_thread().name}


def test_what_waits_is_answered_together_in_its_order() -> None:
    office = Office()
    leader, futures = asked_while_busy(office, combiner(office), [5, 3, 9])
    assert office.calls == [(1,), (5, 3, 9)]
    assert [leader.result(), *(future.result() for future in futures)] == [10, 50, 30, 90]


def test_only_so_many_are_answered_together_and_a_large_one_alone() -> None:
    office = Office()
    _, futures = asked_while_busy(office, combiner(office, most=3), [2, 3, 4, 5, 1000, 6])
    assert office.calls == [(1,), (2, 3, 4), (5, 6), (1000,)]
    assert [future.result() for future in futures] == [20, 30, 40, 50, 10_000, 60]


def test_kinds_are_not_mixed() -> None:
    office = Office()
    _, futures = asked_while_busy(office, combiner(office), [100, 101, 102, 103])
    assert office.calls == [(1,), (100, 102), (101, 103)]
    assert [future.result() for future in futures] == [1000, 1010, 1020, 1030]


def test_only_the_query_that_is_to_blame_fails() -> None:
    office = Office(bad=[3])
    _, futures = asked_while_busy(office, combiner(office), [2, 3, 4])
    assert office.calls == [(1,), (2, 3, 4), (2,), (3,), (4,)]
    assert [futures[0].result(), futures[2].result()] == [20, 40]
    with pytest.raises(ValueError, match=r"^bad: \[3\]$"):
        futures[1].result()


def test_too_few_answers_are_nobodys() -> None:
    office = Office()
    combined = combiner(lambda numbers, _: office(numbers)[:1])
    _, futures = asked_while_busy(office, combined, [2, 3])
    assert office.calls == [(1,), (2, 3), (3,)], "the first had its answer"
    assert [future.result() for future in futures] == [20, 30]


def test_an_interrupted_leader_leaves_the_others_to_the_next() -> None:
    office = Office(interrupted=2)
    _, futures = asked_while_busy(office, combiner(office), [2, 3, 4])
    assert office.calls == [(1,), (2, 3, 4), (3, 4)]
    with pytest.raises(KeyboardInterrupt):
        futures[0].result()
    assert [future.result() for future in futures[1:]] == [30, 40]


def test_who_is_interrupted_while_it_waits_is_not_waited_for() -> None:
    """Ctrl-C reaches the main thread, so this happens in that of a process of its own."""

    def child() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        office = Office()
        combined = combiner(office)
        office.held = 1
        with ThreadPoolExecutor(2) as pool:
            leader = pool.submit(combined, 1)
            assert office.busy.wait(60)

            def interrupt() -> None:
                while not combined.waiting:
                    pass
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

            done = pool.submit(interrupt)
            with pytest.raises(KeyboardInterrupt):
                combined(2)
            done.result()
            assert combined.waiting == 0
            office.go.set()
            assert leader.result() == 10
        assert combined(3) == 30
        assert office.calls == [(1,), (3,)]

    assert processes.run(child) == processes.Ending(None, None)


class Relay(Office):
    """Hands on before it works on the number that is held, so that the next begin meanwhile."""

    def __call__(self, numbers: Sequence[int], hand_on: HandOn = lambda: None) -> list[int]:
        if self.held in numbers:
            hand_on()
        return super().__call__(numbers)


def test_the_next_begin_once_the_first_has_handed_on() -> None:
    office = Relay(bad=[4])
    combined = combiner(office)
    office.held = 1
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(combined, 1)
        assert office.busy.wait(60)
        assert [combined(2), combined(3)] == [20, 30], "nobody waits for the first"
        with pytest.raises(ValueError, match="bad"):
            combined(4)
        assert not first.done()
        office.go.set()
        assert first.result() == 10
    assert combined(5) == 50
    assert office.calls == [(1,), (2,), (3,), (4,), (5,)]


def test_what_was_taken_is_answered_by_others_if_its_leader_is_interrupted_after_handing_on() -> None:
    class Interrupted(Office):
        def __call__(self, numbers: Sequence[int], hand_on: HandOn = lambda: None) -> list[int]:
            if 2 in numbers:
                hand_on()
            return super().__call__(numbers)

    office = Interrupted(interrupted=2)
    _, futures = asked_while_busy(office, combiner(office), [2, 3, 4])
    with pytest.raises(KeyboardInterrupt):
        futures[0].result()
    assert [future.result() for future in futures[1:]] == [30, 40]
    assert office.calls == [(1,), (2, 3, 4), (3, 4)]


def test_what_answers_may_ask_again() -> None:
    def halved(numbers: Sequence[int], _: HandOn) -> list[int]:
        return [number if number % 2 else combined(number // 2) for number in numbers]

    combined = combiner(halved)
    assert combined(12) == 3


def test_a_forked_child_does_not_wait_for_the_parents_threads() -> None:
    office = Office()
    combined = combiner(office)
    office.held = 1
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(combined, 1)
        assert office.busy.wait(60)
        follower = pool.submit(combined, 2)
        while not combined.waiting:
            pass

        def child() -> None:
            assert combined.waiting == 0
            assert combined(3) == 30

        assert processes.run(child) == processes.Ending(None, None)
        office.go.set()
        assert [leader.result(), follower.result()] == [10, 20]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 300), max_size=12), min_size=1, max_size=8),
    st.integers(1, 5),
    st.sets(st.integers(0, 300), max_size=60),
)
def test_everybody_gets_the_own_answer_whatever_others_ask(
    asked: list[list[int]], most: int, bad: set[int]
) -> None:
    office = Office(bad=sorted(bad))
    combined = combiner(office, most)

    def client(numbers: list[int]) -> list[object]:
        found: list[object] = []
        for number in numbers:
            try:
                found.append(combined(number))
            except ValueError as error:
                found.append(str(error))
        return found

    with ThreadPoolExecutor(len(asked)) as pool:
        results = list(pool.map(client, asked))
    assert results == [[f"bad: [{n}]" if n in bad else 10 * n for n in numbers] for numbers in asked]
    assert all(len(call) <= most for call in office.calls)
    assert all(len({n % 2 if n >= 100 else None for n in call}) == 1 for call in office.calls)
    assert combined.waiting == 0


def test_what_was_answered_is_not_kept_until_garbage_is_collected() -> None:
    class Answer:
        pass

    combiner: Combiner[int, Answer] = Combiner(lambda numbers, _: [Answer() for _ in numbers], most=4)
    gc.disable()
    try:
        left = weakref.ref(combiner(1))
        assert left() is None
    finally:
        gc.enable()
