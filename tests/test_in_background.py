"""What is made in the background is made once, and only when it was worth while."""

from __future__ import annotations

import threading

from pipeline.forking import InBackground


def test_it_is_made_once_when_much_was_done_without_it() -> None:
    may_go_on = threading.Event()
    made: list[str] = []

    def make() -> int:
        may_go_on.wait()
        made.append(threading.current_thread().name)
        return 7

    value = InBackground(make, "slow", 10)
    value.count(9)
    assert value.made() is None
    value.count(1)
    value.count(5)
    assert (value.made(), made) == (None, [])
    may_go_on.set()
    assert (value.wait(), value.made(), made) == (7, 7, ["slow"])


def test_waiting_begins_it_and_work_does_not_begin_it_again() -> None:
    made: list[bool] = []
    value: InBackground[int] = InBackground(lambda: made.append(True), "none", 1)
    assert value.wait() is None
    value.count(5)
    assert value.wait() is None
    assert made == [True]
