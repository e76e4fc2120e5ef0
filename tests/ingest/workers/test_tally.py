"""What workers elsewhere did: seconds in which they had something to do, losses that are kept and counted."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.ingest.workers.tally import Reading, ReadingShare, Tally


def times(*seconds: float) -> Iterator[float]:
    yield from seconds


def test_seconds_are_those_with_something_to_do() -> None:
    clock = times(10.0, 11.0, 13.0, 16.0, 20.0, 25.0, 26.0)
    tally = Tally(lambda: next(clock))
    tally.given("reader 1")
    tally.given("reader 1")  # at 11, which waits behind the first
    tally.did("reader 1", 3, 7, is_busy=True)  # at 13
    tally.did("reader 1", 1, 1, is_busy=False)  # at 16
    tally.given("reader 1")  # at 20
    tally.did("reader 1", 2, 0, is_busy=False)  # at 25
    assert tally.reading.shares == (ReadingShare("reader 1", 3, 6, 8, 11.0),)


def test_time_with_a_lost_worker_is_nobodys() -> None:
    clock = times(0.0, 100.0)
    tally = Tally(lambda: next(clock))
    tally.began()
    tally.given("reader 1")
    assert str(tally.lost("reader 1", "a.txt", "the node died", had_begun=True)) == "reader 1: a.txt: the node died"
    assert tally.reading.shares == ()
    assert str(tally) == "0 workers, 1 lost"


def test_nothing_is_said_where_nobody_elsewhere_reads() -> None:
    assert (str(Tally()), Tally().reading) == ("", Reading())


def test_only_the_first_losses_are_kept_and_all_are_counted() -> None:
    tally = Tally()
    for number in range(30):
        tally.lost(f"reader {number}", "", "the node died", had_begun=False)
    assert (len(tally.reading.losses), tally.reading.loss_count) == (20, 30)
    assert tally.reading.losses[0].worker == "reader 0"


def test_readers_are_told_in_the_order_in_which_they_started() -> None:
    tally = Tally()
    for number in (10, 2):
        tally.did(f"reader {number}", 1, 1, is_busy=False)
    assert [share.worker for share in tally.reading.shares] == ["reader 2", "reader 10"]
