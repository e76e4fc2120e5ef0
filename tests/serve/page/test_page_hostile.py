"""Documents that do what they can to break the page: they stay text."""

from __future__ import annotations

import dataclasses
from urllib.parse import quote

import pytest

from pipeline.config import Config
from pipeline.query.searcher import Index
from pipeline.serve.page.frame import frame
from pipeline.serve.page.showing import hit_views
from pipeline.serve.page.state import PageState
from pipeline.serve.page.templating import StaticFiles, Templates
from pipeline.serve.page.views import Failure
from pipeline.serve.page.words import ENGLISH
from pipeline.serve.schemas.hits import hit_answer
from tests.faults import stub
from tests.serve.page.conftest import HOSTILE, SCRIPT
from tests.support.collection import config_for
from tests.support.html import Element, parsed
from tests.support.live import Live, serving

PAGES = [
    "/?q=apples",
    "/?q=apples&explain=1",
    f"/?q={quote(SCRIPT)}&filter={quote(SCRIPT)}",
    f"/?q=apples&{quote('f.' + SCRIPT)}={quote(SCRIPT)}",
    f"/?q=%22%3E{quote(SCRIPT)}&index={quote(SCRIPT)}&mode={quote(SCRIPT)}&k={quote(SCRIPT)}&lang={quote(SCRIPT)}",
    f"/?like={quote('evil/' + SCRIPT)}",
    f"/?like={quote(SCRIPT)}",
    f"/document?id={quote('evil/' + SCRIPT)}",
    f"/document?id={quote(SCRIPT)}",
    "/document?id=guide.md",
    f"/builds?generation={quote(SCRIPT)}",
    f"/{quote(SCRIPT)}",
    f"/static/{quote(SCRIPT)}",
    "/?q=%00%ff%fe&filter=%00&lang=%00&index=%00",
    "/?q=%ED%A0%80",
]


def safe(found: Element) -> None:
    """No element and no link is a document's or an address's own."""
    scripts = list(found.all("script"))
    assert [one.attributes["src"].partition("?")[0] for one in scripts] == ["/static/page.js"]
    assert not any(list(found.all(tag)) for tag in ("img", "b", "i", "u", "textarea", "iframe"))
    for element in found.all():
        assert not {name for name in element.attributes if name.startswith("on") or name in ("style", "srcdoc")}
        href = element.attributes.get("href", "/")
        assert href.startswith(("/", "#", "https://www.example.org/")), href
        assert not href.startswith("//")


@pytest.mark.parametrize("path", PAGES)
def test_nothing_of_it_becomes_markup(evil: Live, path: str) -> None:
    answer = evil.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code in (200, 400, 404)
    assert "text/html" in answer.headers["content-type"]
    safe(parsed(answer.text))


@pytest.mark.parametrize(
    "path", ["//elsewhere.example/", "/\\\\elsewhere.example/x", "///elsewhere.example", "/%2F/elsewhere.example"]
)
def test_no_address_makes_a_link_to_another_host(evil: Live, path: str) -> None:
    answer = evil.client.get(evil.url + path, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    safe(parsed(answer.text))
    (language,) = (one for one in parsed(answer.text).all("a") if "hreflang" in one.attributes)
    assert not language.attributes["href"].startswith(("//", "/\\"))


def test_it_is_shown_as_it_is(evil: Live) -> None:
    found = parsed(evil.client.get("/?q=apples&k=20").text)
    shown = {next(next(hit.all("p", "path")).all("bdi")).raw: hit for hit in found.all("li", "hit")}
    assert shown.keys() == {record["_id"] for record in HOSTILE} | {"guide.md"}
    for record in HOSTILE:
        hit = shown[record["_id"]]
        assert next(hit.one("h2").all("bdi")).raw == record.get("title", record["_id"]).strip()
        assert record["text"] in next(hit.all("span", "itself")).raw
    links = [link.attributes["href"] for hit in shown.values() for link in hit.all("a", "out")]
    assert links == ["https://www.example.org/apples?a=1&b=2"]
    assert "noopener" in next(found.all("a", "out")).attributes["rel"]
    times = sorted(one.attributes["datetime"] for one in found.all("time"))
    assert times == ["2024-03-05", "2024-03-05"]


def test_what_is_written_from_right_to_left_turns_nothing_around_it(evil: Live) -> None:
    """Text of documents stands in elements that browsers isolate: its overrides of direction end with them."""
    found = parsed(evil.client.get("/?q=apples&k=20&explain=1").text)

    def isolated(element: Element, inside: bool) -> None:
        for child in element.children:
            if isinstance(child, str):
                assert inside or not set("\u202e\u202b") & set(child), child
            else:
                isolated(child, inside or child.tag in ("bdi", "title") or "dir" in child.attributes)

    isolated(found, False)


def test_every_document_has_a_page_whatever_it_is_called(evil: Live) -> None:
    for record in HOSTILE:
        found = parsed(evil.client.get("/document", params={"id": record["_id"]}).text)
        safe(found)
        assert next(found.one("h1").all("bdi")).raw == record.get("title", record["_id"]).strip()
        rows = {row.one("th").text: row.one("td").raw.strip() for row in found.all("tr")}
        for name, value in record.items():
            if name not in ("_id", "text"):
                shown = ", ".join(value) if isinstance(value, list) else str(value)
                assert rows[name.strip()] == shown.strip(), name


def test_half_characters_are_no_error(live: Live, index: Index) -> None:
    (hit,) = index.search("plums", k=1)
    half = dataclasses.replace(hit, metadata={"title": "a \ud800 b", "note": "\udfff"}, text="\ud800 apples")
    answer = hit_answer(half)
    state = PageState(q="\udc00")
    (view,) = hit_views([answer], state, ENGLISH)
    assert view.title == "a \ud800 b"
    assert state.address() == "/?q=%3F"
    shown = frame(live.service, state, ENGLISH, view.title, "/")
    failure = Failure(view.title, view.text)
    page = {
        "frame": shown,
        "words": ENGLISH,
        "state": state,
        "failure": failure,
        "results": None,
        "is_missing": False,
    }
    response = Templates(StaticFiles()).response("failure.html", page)
    assert b"<h1>a ? b</h1>" in response.body
    assert b"? apples" in response.body


def test_an_empty_index_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("empty")
    (base / "documents").mkdir()
    (base / "documents" / "a.txt").write_text("apples")
    config: Config = config_for(base)
    stub.build(config)
    stub.sign(config.index_path, lambda live: dataclasses.replace(live, segments=(), documents=0, chunks=0))
    with stub.open_index(config.index_path) as index, serving({"one": index}) as live:
        for path in ("/", "/?q=apples", "/?q=apples&mode=lexical&explain=1"):
            answer = live.client.get(path)
            assert answer.status_code == 200
            assert "This index is still empty" in parsed(answer.text).one("main").text


def test_no_folder_of_the_machine_is_told(evil: Live, hostile: Config) -> None:
    for path in [*PAGES, "/builds", "/?q=apples&mode=multivector"]:
        answer = evil.client.get(path, headers={"Accept": "text/html"})
        assert str(hostile.base) not in answer.text
        assert "Traceback" not in answer.text
