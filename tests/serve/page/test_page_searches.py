"""The page over plain HTTP: what the API finds, in words of two languages, at an address that says all of it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import Config
from pipeline.serve.guard.keys import Caller, Key, Keyring, Role, hash_of, new_key
from tests.faults import stub
from tests.support.html import Element, parsed
from tests.support.live import Live, serving

KOREAN = {"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.8"}


def page(live: Live, path: str, status: int = 200, **headers: str) -> Element:
    """A page, which must be whole HTML."""
    answer = live.client.get(path, headers={"Accept": "text/html", **headers})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return parsed(answer.text)


def titles(found: Element) -> list[str]:
    return [heading.text for heading in found.all("h2") if heading.attributes.get("id", "").startswith("title-")]


def hits(found: Element) -> list[Element]:
    return list(found.all("li", "hit"))


def test_the_hits_are_those_of_the_api(live: Live) -> None:
    for query in ("q=plums", "q=a+document+about+apples&mode=lexical", "q=number+7&mode=dense", "q=plums&k=3"):
        told = live.get(f"/v1/search?{query}")["results"][0]["hits"]
        shown = hits(page(live, f"/?{query}"))
        assert [one.all("p", "path").__next__().text for one in shown] == [one["doc_id"] for one in told] != []
        context = [next(one.all("span", "itself")).raw for one in shown]
        assert context == [one["text"] for one in told]


def test_words_that_match_are_marked(live: Live) -> None:
    told = live.get("/v1/search?q=plums&highlights=true")["results"][0]["hits"]
    for one, hit in zip(hits(page(live, "/?q=plums")), told, strict=True):
        highlight = hit["highlight"]
        snippet = next(one.all("p", "snippet"))
        assert [mark.raw for mark in snippet.all("mark")] == [highlight["text"][a:b] for a, b in highlight["marks"]]
        shown = snippet.raw.strip().removeprefix("… ").removesuffix(" …")
        assert shown == highlight["text"].strip()


def test_the_form_repeats_the_search(live: Live) -> None:
    found = page(live, "/?q=plums&index=second&mode=dense&filter=lang+%3D+%27en%27&collapse=1&lang=ko&f.lang=en")
    form = found.one("form", "search")
    values = {
        one.attributes["name"]: one.attributes.get("value", "")
        for one in form.all("input")
        if one.attributes.get("type") != "checkbox"
    }
    assert values == {"q": "plums", "mode": "dense", "filter": "lang = 'en'", "lang": "ko", "f.lang": "en"}
    assert "checked" in next(one for one in form.all("input") if one.attributes["name"] == "collapse").attributes
    chosen = [one.attributes["value"] for one in form.all("option") if "selected" in one.attributes]
    assert chosen == ["second"]
    assert form.attributes["method"] == "get"


def test_several_indexes_have_a_chooser_and_one_has_none(live: Live, evil: Live) -> None:
    select = page(live, "/").one("select")
    assert [one.attributes["value"] for one in select.all("option")] == ["first", "second"]
    assert not list(page(evil, "/").all("select"))


def test_an_index_that_is_not_there(live: Live) -> None:
    found = page(live, "/?q=plums&index=third", 404)
    assert found.one("div", "failure").text
    assert found.one("form", "search")


LINKS = "/?q=a+document&index=second&mode=lexical&filter=ordinal+%3D+0&k=2&collapse=1&explain=1&lang=ko"


def test_every_link_keeps_the_index_and_the_language(live: Live) -> None:
    found = page(live, LINKS)
    for link in found.all("a"):
        path = link.attributes["href"].partition("?")[0]
        if path not in ("/docs", "#main", "#facets"):
            assert link.query["index"] == "second", link.attributes
            assert link.query["lang"] == ("en" if link.attributes.get("hreflang") else "ko"), link.attributes


def test_links_of_a_search_change_one_thing(live: Live) -> None:
    found = page(live, LINKS)
    asked = {
        "q": "a document", "index": "second", "mode": "lexical", "filter": "ordinal = 0", "k": "2",
        "collapse": "1", "explain": "1", "lang": "ko",
    }  # fmt: skip
    more = found.one("p", "more").one("a")
    assert more.query == asked | {"k": "12"}
    assert more.attributes["href"].endswith("#hit-3")
    modes = [link.query for link in found.one("nav", "modes").one("ul").all("a")]
    without = {name: value for name, value in asked.items() if name != "k"}
    assert modes == [without | {"mode": mode} for mode in ("hybrid", "dense", "lexical")]
    toggle = found.one("a", "toggle")
    assert toggle.query == {name: value for name, value in asked.items() if name != "explain"}
    (language,) = (link for link in found.all("a") if link.attributes.get("hreflang"))
    assert language.query == asked | {"lang": "en"}


def test_more_results_begin_with_those_seen(live: Live) -> None:
    few = page(live, "/?q=a+document&k=5")
    many = page(live, few.one("p", "more").one("a").attributes["href"].partition("#")[0])
    first, all_ = ([one.text for one in hits(found)] for found in (few, many))
    assert all_[:5] == first
    assert len(all_) > 5
    assert not list(many.all("p", "more")), "the index has no more than 14"


@pytest.mark.parametrize(
    ("accepted", "address", "language"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "/", "ko"),
        ("en;q=0.3,ko;q=0.2", "/", "en"),
        ("fr, ko;q=0.1", "/", "ko"),
        ("fr", "/", "en"),
        ("ko;q=0", "/", "en"),
        ("", "/", "en"),
        ("ko;q=nonsense, *", "/", "en"),
        ("ko", "/?lang=en", "en"),
        ("en", "/?lang=ko", "ko"),
        ("ko", "/?lang=xx", "ko"),
    ],
)
def test_the_language_is_the_chosen_or_the_accepted(live: Live, accepted: str, address: str, language: str) -> None:
    answer = live.client.get(address, headers={"Accept-Language": accepted})
    assert parsed(answer.text).one("html").attributes["lang"] == language
    assert answer.headers["content-language"] == language
    assert answer.headers["vary"] == "Accept-Language"


def test_korean_pages_have_korean_words(live: Live) -> None:
    found = page(live, "/?q=plums", **KOREAN)
    assert "의미와 낱말" in found.one("nav", "modes").text
    assert "가장 가까운 구절" in found.one("h1").text
    assert "검색" in found.one("form", "search").text


@pytest.mark.parametrize(
    ("condition", "says"),
    [("lang =", "filter: at character 6"), ("langg = 'ko'", "lang"), ("sleep_ms(1)", "sleep_ms"), ("'", "filter")],
)
def test_a_bad_filter_is_told_in_the_words_of_the_error(live: Live, condition: str, says: str) -> None:
    problem = live.refused("GET", "/v1/search", 422, params={"q": "plums", "filter": condition})
    answer = live.client.get("/", params={"q": "plums", "filter": condition, "mode": "dense"})
    assert answer.status_code == 400
    found = parsed(answer.text)
    failure = found.one("div", "failure")
    assert says in problem["detail"]
    assert problem["detail"].split() == failure.one("p").text.split()
    box = found.one("input", id_="filter")
    assert box.attributes["value"] == condition
    assert box.attributes["aria-invalid"] == "true"
    assert set(box.attributes["aria-describedby"].split()) <= {one.attributes.get("id") for one in found.all()}
    assert "open" in found.one("details", "options").attributes
    assert found.one("input", id_="q").attributes["value"] == "plums"
    (cleared,) = found.all("a", "button")
    assert live.client.get(cleared.attributes["href"]).status_code == 200


@pytest.mark.parametrize("query", ["q=plums&mode=nonsense", "q=plums&k=none", "q=plums&k=0", "q=plums&k=99999999"])
def test_other_nonsense_is_a_page_too(live: Live, query: str) -> None:
    found = page(live, f"/?{query}", 400)
    assert found.one("div", "failure").one("p").text
    assert found.one("input", id_="q").attributes["value"] == "plums"


def test_a_query_that_is_too_long_is_told(live: Live) -> None:
    found = page(live, f"/?q={'x' * 9000}", 400)
    assert "at most 8,192" in found.one("div", "failure").text


def test_unknown_parameters_are_left_alone(live: Live) -> None:
    assert titles(page(live, "/?q=plums&utm_source=mail&f.=x")) == titles(page(live, "/?q=plums"))


def test_nothing_found_gives_advice(live: Live) -> None:
    found = page(live, "/?q=zzzzqqqq&mode=lexical&filter=lang+%3D+%27ko%27")
    advice = found.one("div", "nothing")
    assert len(list(advice.all("li"))) == 3
    assert hits(page(live, "/?q=zzzzqqqq")), "meaning finds something always"
    assert advice.one("a").query == {"q": "zzzzqqqq", "mode": "lexical"}


def test_an_address_that_leads_nowhere(live: Live) -> None:
    found = page(live, "/nothing/here", 404, **KOREAN)
    assert found.one("html").attributes["lang"] == "ko"
    assert found.one("form", "search").attributes["action"] == "/"
    live.refused("GET", "/nothing/here", 404)
    live.refused("GET", "/v1/nothing", 404, headers={"Accept": "text/html"})
    live.refused("POST", "/nothing", 404, headers={"Accept": "text/html"})


def test_browsers_are_told_to_run_nothing_else(live: Live) -> None:
    for path, status in (("/", 200), ("/?q=plums", 200), ("/?q=plums&filter=(", 400), ("/nothing", 404)):
        answer = live.client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == status
        policy = dict(
            part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy == {
            "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'",
            "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
        }  # fmt: skip
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        for element in parsed(answer.text).all():
            assert not {name for name in element.attributes if name.startswith("on") or name == "style"}
            assert element.tag not in ("style", "iframe", "object", "embed", "base")
            if element.tag == "script":
                assert element.attributes["src"].startswith("/static/page.js?v=")
                assert not element.children


def test_files_of_the_page_are_kept_by_their_content(live: Live) -> None:
    found = page(live, "/")
    links = [
        one.attributes.get("src") or one.attributes["href"] for one in found.all() if one.tag in ("script", "link")
    ]
    assert len(links) == 3
    for link in links:
        answer = live.client.get(link)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert live.client.get(link[:-1] + "x").headers["cache-control"] == "no-store"
    for name in ("routes.py", "..%2froutes.py", "%2e%2e/routes.py", "page.css/x", "base.html", ""):
        assert live.client.get(f"/static/{name}").status_code == 404


def test_pages_are_counted(live: Live) -> None:
    page(live, "/?q=plums")
    text = live.client.get("/metrics").text
    assert 'hybrid_pipeline_requests_total{method="GET",route="/",status="200"}' in text


def test_head_is_answered(live: Live) -> None:
    answer = live.client.head("/?q=plums")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_busy_service_says_so(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.serve.problems import Problem

    async def full(work: Any) -> Any:
        raise Problem(429, "too many", headers={"Retry-After": "3"})

    monkeypatch.setattr(type(live.service.workers), "run", lambda self, work: full(work))
    answer = live.client.get("/?q=plums")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert "try again" in parsed(answer.text).one("div", "failure").text


def test_the_page_is_behind_the_keys(built: Config) -> None:
    reader, counter = new_key(), new_key()
    keys = Keyring(
        [
            Key(hash_of(reader), Caller("reader", frozenset({Role.READ}))),
            Key(hash_of(counter), Caller("counter", frozenset({Role.METRICS}))),
        ]
    )
    with stub.open_index(built.index_path) as index, serving({"one": index}, keys=keys) as live:
        for path in (
            "/",
            "/?q=plums",
            "/document?id=003.txt",
            "/builds",
            "/static/page.css",
            "/nothing",
            "/v1/similar",
        ):
            answer = live.client.get(path, headers={"Accept": "text/html"})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic")
            assert live.client.get(path, headers={"Authorization": f"Bearer {counter}"}).status_code == 403
        assert live.client.get("/?q=plums", auth=("anyone", reader)).status_code == 200
