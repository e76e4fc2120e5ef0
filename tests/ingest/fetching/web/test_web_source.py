"""A list of addresses as a source, over a real server: nights, robots.txt, deletions, and what only seems gone."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.errors import DeletionGuardError, SourceError
from pipeline.ingest.fetching.web import client, fetcher
from pipeline.ingest.fetching.web.fetcher import last_modified
from tests.faults import stub
from tests.ingest.fetching.fetched_nights import documents, mirror, source_config
from tests.ingest.fetching.web.web_server import Page, Site, running_site
from tests.support.reading import names_read


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    original = client.Client

    def made(manners: client.Manners) -> client.Client:
        return original(manners, sleep=lambda seconds: None)

    monkeypatch.setattr(fetcher, "Client", made)


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return names_read(monkeypatch)


def page(text: str, **settings: Any) -> Page:
    return Page(f"<html><body><main><p>{text}</p></main></body></html>".encode(), **settings)


OLD = "Tue, 14 Nov 2023 22:13:20 GMT"


def config_of(base: Path, site: Site, *paths: str, **source: Any) -> Config:
    return source_config(base, urls=[site.url(path) for path in paths], requests_per_second=1000, **source)


def test_nights_over_pages_with_validators(site: Site, tmp_path: Path, read: list[str]) -> None:
    site.pages = {"/a": page("apples", etag='"1"'), "/b": page("pears", modified=OLD), "/c": page("plums")}
    config = config_of(tmp_path, site, "/a", "/b", "/c", prefix="web:")
    assert stub.build(config).added == 3
    found = documents(config)
    assert sorted(found) == [f"web:{site.url(path)}" for path in ("/a", "/b", "/c")]
    hit = found[f"web:{site.url('/b')}"]
    assert (hit.text, hit.source) == ("pears", site.url("/b"))
    assert (hit.metadata["url"], hit.metadata["last_modified"]) == (site.url("/b"), "2023-11-14T22:13:20Z")

    read.clear()
    site.asked.clear()
    report = stub.build(config)
    assert (read, report.published, report.unchanged) == ([], False, 3)
    assert site.statuses() == {"/robots.txt": 404, "/a": 304, "/b": 304, "/c": 200}

    site.pages["/a"] = page("apples and figs", etag='"2"')
    report = stub.build(config)
    assert (read, report.changed, report.unchanged) == ([f"web:{site.url('/a')}"], 1, 2)
    site.asked.clear()
    stub.build(config)
    assert site.statuses()["/a"] == 304


def test_a_dry_run_asks_as_a_night_does_and_keeps_nothing(site: Site, tmp_path: Path) -> None:
    site.pages = {"/a": page("apples", etag='"1"'), "/b": page("pears", modified=OLD), "/c": page("plums")}
    config = config_of(tmp_path, site, *site.pages)
    stub.plan(config)
    assert not (config.index_path / "fetched").exists()
    stub.build(config)
    before = {path: (path.stat(), path.read_bytes()) for path in mirror(config).rglob("*") if path.is_file()}
    site.pages["/b"] = page("pears and figs", modified="Wed, 15 Nov 2023 22:13:20 GMT")
    site.asked.clear()
    for _ in range(2):
        plan = stub.plan(config)
        assert (plan.changes.changed, plan.changes.unchanged, plan.rejections) == (1, 2, ())
        assert site.statuses() == {"/robots.txt": 404, "/a": 304, "/b": 200, "/c": 200}
        site.asked.clear()
    after = {path: (path.stat(), path.read_bytes()) for path in mirror(config).rglob("*") if path.is_file()}
    assert {path: (look.st_mtime_ns, look.st_ctime_ns, held) for path, (look, held) in after.items()} == {
        path: (look.st_mtime_ns, look.st_ctime_ns, held) for path, (look, held) in before.items()
    }
    assert stub.build(config).changed == 1
    assert site.statuses() == {"/robots.txt": 404, "/a": 304, "/b": 200, "/c": 200}


def test_a_dry_run_does_not_believe_a_mirror_that_somebody_touched(site: Site, tmp_path: Path) -> None:
    site.pages = {"/a": page("apples", etag='"1"')}
    config = config_of(tmp_path, site, "/a")
    stub.build(config)
    (file,) = mirror(config).rglob("*.html")
    file.write_text("<p>forged</p>")
    site.asked.clear()
    assert stub.plan(config).changes.unchanged == 1
    assert site.statuses()["/a"] == 200


def test_a_server_that_calls_every_answer_new_changes_nothing(site: Site, tmp_path: Path) -> None:
    site.pages["/a"] = [
        page("apples", etag=f'"{i}"', headers={"Last-Modified": f"Tue, 14 Nov 2023 22:13:2{i} GMT"})
        for i in range(4)
    ]
    config = config_of(tmp_path, site, "/a")
    stub.build(config)
    for _ in range(2):
        assert not stub.build(config).published
    assert documents(config)[site.url("/a")].metadata["last_modified"] == "2023-11-14T22:13:20Z"
    now = {"date": "Tue, 14 Nov 2023 22:13:20 GMT", "last-modified": "Tue, 14 Nov 2023 22:13:19 GMT"}
    assert last_modified(now) == ""
    assert last_modified({**now, "last-modified": "Mon, 13 Nov 2023 22:13:19 GMT"}) == "2023-11-13T22:13:19Z"
    assert last_modified({"last-modified": "yesterday"}) == ""


@pytest.mark.parametrize("status", [404, 410])
def test_what_the_server_says_is_gone_is_deleted_under_the_guard(
    site: Site, tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    paths = ["/a", "/b", "/c"]
    site.pages = {path: page(path, etag='"1"') for path in paths}
    config = config_of(tmp_path, site, *paths)
    stub.build(config)
    site.pages["/a"] = Page(status=status)
    with caplog.at_level(logging.WARNING):
        assert stub.build(config).deleted == 1
    assert f"gone, as the server says (404 or 410): {site.url('/a')}; take them out" in caplog.text
    site.pages["/b"] = site.pages["/c"] = Page(status=status)
    for _ in range(2):  # and the guard that has refused goes on refusing
        with pytest.raises(DeletionGuardError):
            stub.build(config)
    assert len(documents(config)) == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Page(status=500), "answers with status 500"),
        (Page(status=503), "answers with status 503, after 4 attempts"),
        (Page(status=403), "answers with status 403"),
        (Page(b"half", cut=True), "the connection failed"),
        (page("x" * 50_000), "is more than 0.03 MB"),
        (Page(b"\x89PNG", kind="image/png"), "no reader for image/png"),
        (Page(status=302, headers={"Location": "/a"}), "redirects in a circle"),
    ],
)
def test_what_cannot_be_had_now_is_told_and_its_last_version_stays(
    site: Site, tmp_path: Path, read: list[str], fault: Page, reason: str
) -> None:
    site.pages = {"/a": page("apples", etag='"1"'), "/b": page("pears", etag='"1"')}
    config = config_of(tmp_path, site, "/a", "/b")
    config = config.model_copy(
        update={"ingest": stub.stub_config(tmp_path, ingest={"max_document_mb": 0.03}).ingest}
    )
    stub.build(config)
    site.pages["/a"] = fault
    for _ in range(2):
        report = stub.build(config)
        (rejection,) = report.rejections
        assert (rejection.file, report.deleted, report.documents) == (site.url("/a"), 0, 2)
        assert reason in rejection.reason
    assert documents(config)[site.url("/a")].text == "apples"
    site.pages["/a"] = page("apples", etag='"1"')
    site.asked.clear()
    report = stub.build(config)
    assert (report.rejections, report.unchanged, site.statuses()["/a"]) == ((), 2, 304)


def test_robots_are_honoured_and_told(site: Site, tmp_path: Path) -> None:
    site.pages = {
        "/a": page("apples"),
        "/private/b": page("pears"),
        "/c": Page(status=302, headers={"Location": "/private/b"}),
    }
    site.pages["/robots.txt"] = Page(b"User-agent: *\nDisallow: /private", kind="text/plain")
    config = config_of(tmp_path, site, "/a", "/private/b", "/c")
    report = stub.build(config)
    assert {
        rejection.file: "robots.txt does not allow hybrid-pipeline" in rejection.reason
        for rejection in report.rejections
    } == {
        site.url("/private/b"): True,
        site.url("/c"): True,
    }
    assert site.paths() == ["/a", "/c"]
    assert {sent["user-agent"].split("/")[0] for sent in site.sent} == {"hybrid-pipeline"}


def test_another_name_hears_its_own_rules(site: Site, tmp_path: Path) -> None:
    site.pages = {"/a": page("apples")}
    site.pages["/robots.txt"] = Page(
        b"User-agent: *\nDisallow: /\n\nUser-agent: our-search\nAllow: /\n", kind="text/plain"
    )
    with_name = config_of(tmp_path / "one", site, "/a", user_agent="our-search/2 (ops@example.org)")
    assert stub.build(with_name).added == 1
    assert site.sent[-1]["user-agent"] == "our-search/2 (ops@example.org)"
    with pytest.raises(SourceError, match="no document could be indexed"):
        stub.build(config_of(tmp_path / "two", site, "/a"))


@pytest.mark.parametrize("form", ["address", "file", "gzip", "index", "lines"])
def test_lists_of_every_form(site: Site, tmp_path: Path, form: str) -> None:
    site.pages = {"/a": page("apples"), "/b?x=1&y=2": page("pears")}
    entries = f"<url><loc>{site.url('/a')}</loc></url><url><loc>{site.url('/b?x=1&amp;y=2')}</loc></url>"
    sitemap = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</urlset>'.encode()
    site.pages["/sitemap.xml"] = Page(sitemap, kind="application/xml")
    site.pages["/sitemap.xml.gz"] = Page(gzip.compress(sitemap), kind="application/x-gzip")
    site.pages["/index.xml"] = Page(
        f"<sitemapindex><sitemap><loc>{site.url('/sitemap.xml.gz')}</loc></sitemap></sitemapindex>".encode()
    )
    (tmp_path / "sitemap.xml").write_bytes(sitemap)
    (tmp_path / "list.txt").write_text(
        f"# ours\n{site.url('/a')}#part\n{site.url('/b?x=1&y=2')}\n{site.url('/a')}\n"
    )
    place = {
        "address": site.url("/sitemap.xml"),
        "file": "sitemap.xml",
        "gzip": site.url("/sitemap.xml.gz"),
        "index": site.url("/index.xml"),
        "lines": "list.txt",
    }[form]
    config = source_config(tmp_path, urls=place, requests_per_second=1000)
    stub.build(config)
    assert sorted(documents(config)) == [site.url("/a"), site.url("/b?x=1&y=2")]


@pytest.mark.parametrize(
    "fault", [Page(status=404), Page(status=500), Page(b"<html></html>"), Page(b"<urlset></urlset>")]
)
def test_a_list_that_cannot_be_read_ends_the_build(site: Site, tmp_path: Path, fault: Page) -> None:
    site.pages = {"/a": page("apples")}
    site.pages["/sitemap.xml"] = Page(f"<urlset><url><loc>{site.url('/a')}</loc></url></urlset>".encode())
    config = source_config(tmp_path, urls=site.url("/sitemap.xml"), requests_per_second=1000)
    stub.build(config)
    site.pages["/sitemap.xml"] = fault
    with pytest.raises(SourceError, match=r"sitemap.xml: "):
        stub.build(config, allow_deletes=True)
    assert len(documents(config)) == 1


def test_a_list_that_is_fetched_names_no_files_of_this_machine(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text("<urlset><url><loc>http://example.invalid/</loc></url></urlset>")
    site.pages["/index.xml"] = Page(f"<sitemapindex><sitemap><loc>{secret}</loc></sitemap></sitemapindex>".encode())
    with pytest.raises(SourceError, match="answers with status 404"):
        stub.build(source_config(tmp_path, urls=site.url("/index.xml"), requests_per_second=1000))
    site.pages["/index.xml"] = Page(
        f"<sitemapindex><sitemap><loc>file://{secret}</loc></sitemap></sitemapindex>".encode()
    )
    with pytest.raises(SourceError, match="no address that begins with http"):
        stub.build(source_config(tmp_path, urls=site.url("/index.xml"), requests_per_second=1000))


def test_addresses_that_are_none_are_told_and_globs_choose(site: Site, tmp_path: Path) -> None:
    site.pages = {path: page(path) for path in ("/docs/a", "/docs/old/b", "/c")}
    config = config_of(tmp_path, site, *site.pages, include=["**/docs/**", "*"], exclude=["**/old/**"])
    config.sources[0].urls.append("mailto:me")  # type: ignore[union-attr]
    report = stub.build(config)
    assert sorted(documents(config)) == [site.url("/docs/a")]
    assert [(rejection.file, rejection.reason[:30]) for rejection in report.rejections] == [
        ("mailto:me", "is no address that begins with")
    ]
    with pytest.raises(SourceError, match="no address matches `include` and `exclude`"):
        stub.build(config_of(tmp_path, site, "/c", include=["nowhere/**"]))


def test_links_of_a_page_are_meant_from_where_it_was_found(site: Site, tmp_path: Path) -> None:
    site.pages["/old"] = Page(status=301, headers={"Location": "/new/page.html"})
    site.pages["/new/page.html"] = page('See <a href="other.html">the other page</a>.', etag='"1"')
    config = config_of(tmp_path, site, "/old")
    for _ in range(2):
        stub.build(config)
    hit = documents(config)[site.url("/old")]
    assert hit.text == f"See [the other page]({site.url('/new/other.html')})."
    assert hit.metadata["url"] == site.url("/new/page.html")
    assert site.statuses() == {"/robots.txt": 404, "/old": 301, "/new/page.html": 304}


def test_types_choose_readers_and_charsets_count(site: Site, tmp_path: Path) -> None:
    korean = "한국어로 쓴 문서입니다"
    site.pages["/a.php"] = Page(
        f"<html><body><p>{korean}</p></body></html>".encode("cp949"), kind="text/html; charset=EUC-KR"
    )
    site.pages["/readme.md"] = Page(b"# Head\n\ntext", kind="text/plain")
    site.pages["/notes"] = Page("café".encode("latin-1"), kind="text/plain; charset=iso-8859-1")
    site.pages["/rows"] = Page(b"id,text\n1,one\n", kind="text/csv")
    site.pages["/api"] = Page(b'[{"id": "x", "text": "first"},\n{"text": "second"}]', kind="application/json")
    config = config_of(tmp_path, site, *site.pages)
    assert stub.build(config).rejections == ()
    texts = {name.removeprefix(site.url("")): hit.text for name, hit in documents(config).items()}
    assert texts == {
        "/a.php": korean,
        "/readme.md": "# Head\n\ntext",
        "/notes": "café",
        "1": "one",
        "x": "first",
        "/api:2": "second",
    }


@pytest.mark.parametrize("damage", ["record", "content", "gone"])
def test_a_mirror_that_somebody_touched_is_fetched_again(site: Site, tmp_path: Path, damage: str) -> None:
    site.pages = {"/a": page("apples", etag='"1"')}
    config = config_of(tmp_path, site, "/a")
    stub.build(config)
    (file,) = mirror(config).rglob("*.html")
    if damage == "record":
        (mirror(config) / "kept.json").write_text("{}")
    elif damage == "content":
        file.write_text("<p>forged</p>")
    else:
        file.unlink()
    site.asked.clear()
    report = stub.build(config)
    assert (report.unchanged, site.statuses()["/a"]) == (1, 200)
    assert documents(config)[site.url("/a")].text == "apples"


def test_what_was_fetched_before_an_interruption_is_not_fetched_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages = {path: page(path, etag='"1"') for path in ("/a", "/b", "/c")}
    config = config_of(tmp_path, site, *site.pages)
    with monkeypatch.context() as patched:
        patched.setattr(fetcher._Pages, "_file", _interrupting(fetcher._Pages._file, site.url("/c")))
        with pytest.raises(KeyboardInterrupt):
            stub.build(config)
    site.asked.clear()
    assert stub.build(config).added == 3
    assert site.statuses() == {"/robots.txt": 404, "/a": 304, "/b": 304, "/c": 200}


def _interrupting(original: Any, address: str) -> Any:
    def wrapped(self: Any, found: str, facts: Any) -> Any:
        if found == address:
            raise KeyboardInterrupt
        return original(self, found, facts)

    return wrapped
