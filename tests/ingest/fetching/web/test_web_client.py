"""Requests are paced, bounded, redirected under robots.txt, and tried again where that may help: a real server."""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from pipeline.errors import MissingDependencyError
from pipeline.ingest.fetching.web.client import MOST_FAILURES, Client, Manners, Wanted
from pipeline.ingest.fetching.web.pace import Pace
from pipeline.ingest.fetching.web.robots import Robots
from pipeline.ingest.formats.decoding import UnreadableError
from tests.ingest.fetching.web.web_server import Page, Site, running_site

AGENT = "hybrid-pipeline/0.1"


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


class Watch:
    """A clock that only sleep moves on."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def client(watch: Watch | None = None, **settings: Any) -> Client:
    watch = watch or Watch()
    settings = {"requests_per_second": 1e9, "timeout_seconds": 5.0, **settings}
    return Client(Manners(AGENT, **settings), watch.sleep, watch.clock)


def get(site: Site, path: str, client_: Client | None = None, limit: int = 1000, **wanted: Any) -> Any:
    with client_ or client() as asking:
        return asking.get(Wanted(site.url(path), limit, **wanted))


def test_requests_to_one_host_keep_their_distance_and_others_do_not_wait() -> None:
    watch = Watch()
    pace = Pace(0.5, watch.sleep, watch.clock)
    for host in ("a", "a", "b", "a"):
        pace.wait(host)
    assert watch.slept == [2.0, 2.0]
    watch.now += 1.5  # some of the time has passed by itself
    pace.wait("a")
    assert watch.slept[-1] == 0.5
    pace.slow("b", 7.0)
    watch.now += 100
    pace.wait("b")
    pace.wait("b")
    assert watch.slept[-1] == 7.0


def test_every_request_is_paced_those_that_are_tried_again_too(site: Site) -> None:
    site.pages["/a"] = [Page(status=503), Page(b"text")]
    watch = Watch()
    with client(watch, requests_per_second=0.01) as asking:
        assert asking.get(Wanted(site.url("/a"), 1000)).body == b"text"
        assert watch.now >= 100
        asking.get(Wanted(site.url("/a"), 1000))
        assert watch.now >= 200


@pytest.mark.parametrize("fault", [Page(status=429), Page(status=502), Page(status=503), Page(b"half", cut=True)])
def test_transient_faults_are_tried_again(site: Site, fault: Page) -> None:
    site.pages["/a"] = [fault, fault, Page(b"text")]
    assert get(site, "/a").body == b"text"
    assert site.paths() == ["/a"] * 3


def test_what_does_not_pass_is_told_after_all_attempts(site: Site) -> None:
    site.pages["/a"] = Page(status=503)
    with pytest.raises(UnreadableError, match="answers with status 503, after 4 attempts"):
        get(site, "/a")
    assert site.paths() == ["/a"] * 4


@pytest.mark.parametrize("status", [404, 410, 500, 403])
def test_other_statuses_are_answers(site: Site, status: int) -> None:
    site.pages["/a"] = Page(b"long " * 1000, status=status)
    reply = get(site, "/a")
    assert (reply.status, reply.body, site.paths()) == (status, b"", ["/a"])


def test_a_server_is_waited_for_as_long_as_it_asks(site: Site) -> None:
    watch = Watch()
    site.pages["/a"] = [Page(status=429, headers={"Retry-After": "17"}), Page(b"text")]
    assert get(site, "/a", client(watch)).body == b"text"
    assert max(watch.slept) == 17.0


def test_a_server_that_wants_to_be_left_alone_for_long_is(site: Site) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    site.pages["/a"] = Page(status=503, headers={"Retry-After": later})
    site.pages["/b"] = Page(b"text")
    with client() as asking:
        for path in ("/a", "/b"):
            with pytest.raises(UnreadableError, match=r"status 503: http://127.* asks to come back in \d+ s"):
                asking.get(Wanted(site.url(path), 1000))
    assert site.paths() == ["/a"]


def test_a_host_that_fails_on_and_on_is_not_asked_for_the_rest(site: Site) -> None:
    site.pages = {f"/{i}": Page(status=503) for i in range(9)} | {"/good": Page(b"text")}
    with client() as asking:
        for i in range(MOST_FAILURES - 1):
            with pytest.raises(UnreadableError, match="after 4 attempts"):
                asking.get(Wanted(site.url(f"/{i}"), 1000))
        assert asking.get(Wanted(site.url("/good"), 1000)).status == 200  # and the count starts again
        for i in range(MOST_FAILURES):
            with pytest.raises(UnreadableError, match="after 4 attempts"):
                asking.get(Wanted(site.url(f"/{i}"), 1000))
        site.paths()
        with pytest.raises(UnreadableError, match=r"not asked for, as http://127.* failed 5 times in a row"):
            asking.get(Wanted(site.url("/good"), 1000))
        assert site.paths() == []


def test_a_server_that_is_not_there_is_told() -> None:
    with running_site() as gone:
        pass
    with pytest.raises(UnreadableError, match=r"the connection failed .* after 4 attempts"):
        get(gone, "/a")


def test_a_slow_answer_times_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    original = site.next

    def slow(path: str) -> Page:
        time.sleep(0.3)
        return original(path)

    monkeypatch.setattr(site, "next", slow)
    site.pages["/a"] = Page(b"text")
    with pytest.raises(UnreadableError, match=r"timed out after 0.05 s, after 2 attempts"):
        get(site, "/a", client(timeout_seconds=0.05, attempts=2))


def test_redirects_are_followed_to_a_normal_address(site: Site) -> None:
    site.pages["/a"] = Page(status=301, headers={"Location": "x/../b#part"})
    site.pages["/b"] = Page(status=307, headers={"Location": site.url("/c?q=1")})
    site.pages["/c?q=1"] = Page(b"text")
    reply = get(site, "/a")
    assert (reply.address, reply.body, site.paths()) == (site.url("/c?q=1"), b"text", ["/a", "/b", "/c?q=1"])


def test_redirects_end(site: Site) -> None:
    site.pages = {f"/{i}": Page(status=302, headers={"Location": f"/{i + 1}"}) for i in range(20)}
    site.pages |= {
        "/x": Page(status=302, headers={"Location": "/y"}),
        "/y": Page(status=302, headers={"Location": "/x"}),
    }
    with pytest.raises(UnreadableError, match=r"redirects in a circle, back to .*/x"):
        get(site, "/x")
    site.paths()
    with pytest.raises(UnreadableError, match=r"redirects more than 5 times, last to .*/6"):
        get(site, "/0")
    assert len(site.paths()) == 6


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://host/x", "http://me:pw@host/x", "http://[", "javascript:1"]
)
def test_redirects_lead_to_the_web_only(site: Site, target: str) -> None:
    site.pages["/a"] = Page(status=302, headers={"Location": target})
    with pytest.raises(UnreadableError, match=r"redirects to .*, which "):
        get(site, "/a")


def test_a_body_is_bounded_also_one_that_is_packed(site: Site) -> None:
    packed = gzip.compress(b"x" * 50_000_000)
    site.pages["/long"] = Page(b"x" * 2000)
    site.pages["/bomb"] = Page(packed, headers={"Content-Encoding": "gzip"})
    site.pages["/fits"] = Page(gzip.compress(b"x" * 900), headers={"Content-Encoding": "gzip"})
    site.pages["/other"] = Page(b"x", headers={"Content-Encoding": "br"})
    for path in ("/long", "/bomb"):
        with pytest.raises(UnreadableError, match=r"more than 0.001 MB; raise ingest.max_document_mb"):
            get(site, path)
    assert get(site, "/fits").body == b"x" * 900
    assert get(site, "/long", is_cut=True).body == b"x" * 1000
    with pytest.raises(UnreadableError, match="packed as br"):
        get(site, "/other")


def test_conditions_go_to_their_own_address_alone(site: Site) -> None:
    site.pages["/a"] = Page(status=302, headers={"Location": "/b"})
    site.pages["/b"] = Page(b"text", etag='"1"')
    conditions = {site.url("/b"): {"If-None-Match": '"1"'}}
    assert get(site, "/a", conditions=conditions).status == 304
    assert ["if-none-match" in sent for sent in site.sent] == [False, True]
    assert {sent["user-agent"] for sent in site.sent} == {AGENT}


ROBOTS = b"""User-agent: *
Disallow: /

User-agent: hybrid-pipeline
Disallow: /private/
Allow: /private/open*.html$
Crawl-delay: 3
"""


def robots(asking: Client) -> Robots:
    return Robots(asking, AGENT)


def test_robots_are_asked_once_and_heard(site: Site) -> None:
    site.pages["/robots.txt"] = Page(ROBOTS, kind="text/plain")
    watch = Watch()
    with client(watch) as asking:
        rules = robots(asking)
        rules.permit(site.url("/a"))
        rules.permit(site.url("/private/open-hours.html"))
        for path in ("/private/x", "/private/open.html?x"):
            with pytest.raises(UnreadableError, match=r"/robots.txt does not allow hybrid-pipeline to read it"):
                rules.permit(site.url(path))
        assert site.asked == [("/robots.txt", 200)]
        for _ in range(3):
            asking.get(Wanted(site.url("/a"), 1000))
        assert watch.now >= 6.0  # three seconds between two requests


def test_a_redirect_into_what_is_not_allowed_is_not_followed(site: Site) -> None:
    site.pages["/robots.txt"] = Page(ROBOTS, kind="text/plain")
    site.pages["/a"] = Page(status=302, headers={"Location": "/private/x"})
    with client() as asking, pytest.raises(UnreadableError, match="does not allow"):
        asking.get(Wanted(site.url("/a"), 1000), robots(asking).permit)
    assert site.paths() == ["/a"]


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        (Page(status=404), True),
        (Page(status=403), True),
        (Page(status=500), False),
        (Page(status=503), False),
        (Page(b"User-agent: *\nCrawl-delay: 100\n"), False),
        (Page(b"User-agent: *\nRequest-rate: 1/100\n"), False),
        (Page(b"\xef\xbb\xbfUser-agent: *\nDisallow: /a\n"), False),
        (Page(b"# " + b"x" * 600_000 + b"\nUser-agent: *\nDisallow: /a\n"), True),  # beyond what is read
        (Page(b"\xff\xfe\0garbage"), True),
    ],
)  # fmt: skip
def test_robots_that_are_missing_allow_all_and_those_that_cannot_be_had_nothing(
    site: Site, answer: Page, allowed: bool
) -> None:
    site.pages["/robots.txt"] = answer
    with client() as asking:
        if allowed:
            robots(asking).permit(site.url("/a"))
        else:
            with pytest.raises(UnreadableError, match=r"robots.txt"):
                robots(asking).permit(site.url("/a"))


def test_robots_cannot_be_read_without_their_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "protego", None)
    with client() as asking, pytest.raises(MissingDependencyError, match=r"pip install 'hybrid-pipeline\[web\]'"):
        robots(asking)
