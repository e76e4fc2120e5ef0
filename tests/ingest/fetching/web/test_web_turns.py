"""Several hosts are asked at a time, each for one page after the other, and the order stays that of the list."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.ingest.fetching import kinds
from pipeline.ingest.fetching.web import client, fetcher, turns
from pipeline.ingest.fetching.web.client import Client, Manners, Wanted
from pipeline.ingest.fetching.web.turns import answers
from pipeline.ingest.sources import FetchedFile
from tests.ingest.fetching.fetched_nights import source_config
from tests.ingest.fetching.web.web_server import Page, Site, running_site

PATIENCE = 60.0
"""Seconds until a test that waits for another thread says that it never came."""


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running_site()) for _ in range(4)]


def asking(requests_per_second: float = 1e9) -> Client:
    return Client(Manners("hybrid-pipeline/0.1", requests_per_second, PATIENCE))


def config_of(base: Path, urls: list[str]) -> Config:
    return source_config(base, urls=urls, requests_per_second=1000, timeout_seconds=PATIENCE)


class Bar:
    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, amount: float = 1) -> None:
        pass


def fetch(config: Config, bar: Bar | None = None) -> list[FetchedFile]:
    return list(kinds.fetch_sources(config, config.index_path, lambda *about: bar or Bar())[0])


def test_hosts_are_asked_together_each_for_one_page_at_a_time(sites: list[Site], tmp_path: Path) -> None:
    together = threading.Barrier(len(sites))
    for site in sites:
        site.pages = {f"/{i}.txt": Page(b"text %d" % i, kind="text/plain") for i in range(5)}
        site.pages["/3.txt"] = Page(status=500)
        site.pages["/4.txt"] = Page(status=404)
        site.hold = lambda path: together.wait(PATIENCE) if path != "/robots.txt" else None
    urls = [site.url(f"/{i}.txt") for i in range(5) for site in sites]
    files = fetch(config_of(tmp_path, urls))
    assert [file.name for file in files] == [url for url in urls if not url.endswith("/4.txt")]
    assert [file.name for file in files if file.problem] == [url for url in urls if url.endswith("/3.txt")]
    assert [site.most_at_once for site in sites] == [1] * len(sites)
    assert [site.paths() for site in sites] == [[f"/{i}.txt" for i in range(5)]] * len(sites)


def test_no_more_requests_are_under_way_than_are_allowed(
    sites: list[Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_AT_ONCE", 2)
    everywhere, together = Site(), threading.Barrier(2)
    for site in sites:
        site.pages = {"/a.txt": Page(b"text", kind="text/plain")}
        original = site.counted
        monkeypatch.setattr(site, "counted", lambda original=original: _both(everywhere.counted(), original()))
        site.hold = lambda path: together.wait(PATIENCE)  # robots.txt and page of two hosts, then of the two others
    fetch(config_of(tmp_path, [site.url("/a.txt") for site in sites]))
    assert everywhere.most_at_once == 2


@contextlib.contextmanager
def _both(one: Any, other: Any) -> Iterator[None]:
    with one, other:
        yield


def test_redirects_to_a_host_wait_for_its_turn(sites: list[Site], tmp_path: Path) -> None:
    *senders, target = sites
    for number, site in enumerate(senders):
        for i in range(4):
            site.pages[f"/{i}"] = Page(status=302, headers={"Location": target.url(f"/{number}-{i}.txt")})
            target.pages[f"/{number}-{i}.txt"] = Page(b"text", kind="text/plain")
    target.pages["/own.txt"] = Page(b"text", kind="text/plain")
    urls = [site.url(f"/{i}") for site in senders for i in range(4)] + [target.url("/own.txt")]
    files = fetch(config_of(tmp_path, urls))
    assert [file.problem for file in files] == [None] * len(urls)
    assert sorted(target.paths()) == sorted(target.pages)
    assert target.most_at_once == 1


def test_a_host_that_may_not_be_asked_yet_keeps_no_other_waiting(
    sites: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_AT_ONCE", 1)
    slow, quick = sites[:2]
    pages = dict(enumerate([slow.url("/0"), slow.url("/1"), *(quick.url(f"/{i}") for i in range(6))]))
    with asking() as client_:
        client_.pace.slow(f"http://127.0.0.1:{slow.port}", 1e6)
        coming = answers(client_, pages, lambda address: Wanted(address, 1000), lambda address: None)
        with contextlib.closing(coming):
            assert [next(coming)[0] for _ in range(7)] == [0, 2, 3, 4, 5, 6, 7]


def test_one_robots_txt_is_asked_for_once_by_all_that_wait_for_it(sites: list[Site], tmp_path: Path) -> None:
    *senders, target = sites
    target.pages["/a.txt"] = Page(b"text", kind="text/plain")
    for site in senders:
        site.pages["/a"] = Page(status=302, headers={"Location": target.url("/a.txt")})
    fetch(config_of(tmp_path, [*(site.url("/a") for site in senders), target.url("/a.txt")]))
    assert [path for path, _ in target.asked].count("/robots.txt") == 1


def test_what_goes_wrong_in_a_thread_ends_the_fetch(
    sites: list[Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, address: str) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(fetcher.Robots, "permit", broken)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        fetch(config_of(tmp_path, [site.url("/a.txt") for site in sites]))


def test_gone_pages_are_told_in_the_order_of_the_list(
    sites: list[Site], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first_waits = threading.Event()
    sites[0].hold = lambda path: first_waits.wait(PATIENCE)
    sites[1].hold = lambda path: first_waits.set() if path == "/b.txt" else None
    urls = [sites[0].url("/a.txt"), sites[1].url("/b.txt")]
    with caplog.at_level(logging.WARNING):
        assert fetch(config_of(tmp_path, urls)) == []
    assert f"gone, as the server says (404 or 410): {urls[0]}, {urls[1]};" in caplog.text


def test_an_interruption_waits_for_no_server_and_keeps_what_was_fetched(sites: list[Site], tmp_path: Path) -> None:
    hanging, good = sites[:2]
    released = threading.Event()
    hanging.hold = lambda path: released.wait(PATIENCE)
    hanging.pages = {f"/{i}.txt": Page(b"late", kind="text/plain") for i in range(3)}
    good.pages = {"/a.txt": Page(b"apples", kind="text/plain", etag='"1"')}

    class Interrupted(Bar):
        def update(self, amount: float = 1) -> None:
            if amount:
                raise KeyboardInterrupt

    config = config_of(tmp_path, [*(hanging.url(f"/{i}.txt") for i in range(3)), good.url("/a.txt")])
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        fetch(config, Interrupted())
    released.set()
    for thread in set(threading.enumerate()) - before:
        if thread.name == "fetch-pages":
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert hanging.paths() == []  # no page was asked for after robots.txt
    good.asked.clear()
    assert [file.problem for file in fetch(config)] == [None] * 4
    assert good.statuses()["/a.txt"] == 304


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_build_that_waits_for_servers(
    sites: list[Site], tmp_path: Path, number: signal.Signals
) -> None:
    reached, released = threading.Semaphore(0), threading.Event()
    for site in sites:
        site.hold = lambda path: (reached.release(), released.wait(PATIENCE))
    urls = [site.url("/a.txt") for site in sites]
    (tmp_path / "config.yaml").write_text(f"sources: [{{urls: {urls}, timeout_seconds: 600}}]\nindex: index\n")
    command = [sys.executable, "-m", "pipeline", "build"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=dict(os.environ)) as build:
        try:
            for _ in sites:
                assert reached.acquire(timeout=PATIENCE)
            build.send_signal(number)
            assert build.wait(PATIENCE) == 128 + number  # and the servers have still not answered
        finally:
            released.set()


def test_a_closed_client_asks_for_nothing(sites: list[Site]) -> None:
    with asking() as client_:
        pass
    with pytest.raises(client.UnreadableError, match="interrupted"):
        client_.get(Wanted(sites[0].url("/a"), 1000))
    assert sites[0].asked == []
