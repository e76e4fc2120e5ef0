"""Facets, explanations, similar documents, the text around a hit: what the library gives, as pages show it."""

from __future__ import annotations

import math

import pytest

from pipeline.config import Config
from pipeline.query.searcher import Index
from pipeline.query.showing.document import joined_text
from pipeline.query.similar import Examples
from pipeline.serve.page.explaining import explanations
from pipeline.serve.page.facets import condition, telling_fields
from pipeline.serve.page.state import Choice, PageState
from pipeline.serve.page.words import ENGLISH
from pipeline.serve.schemas.hits import hit_answer
from tests.faults import stub
from tests.support.collection import config_for
from tests.support.html import Element, parsed
from tests.support.live import Live


def page(live: Live, path: str, status: int = 200) -> Element:
    answer = live.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    return parsed(answer.text)


def doc_ids(found: Element) -> list[str]:
    return [next(one.all("bdi")).raw for one in found.all("p", "path")]


def listed(found: Element) -> dict[str, list[tuple[str, str]]]:
    """Of each facet its values and counts."""
    sections = found.one("aside", "facets").all("section")
    return {
        section.one("h3").text: [(next(a.all("bdi")).raw, a.one("span").text) for a in section.all("a")]
        for section in sections
    }


def test_facets_are_counted_over_what_the_conditions_keep(evil: Live) -> None:
    shown = listed(page(evil, "/?q=apples"))
    assert dict(shown["ripe"]) == {"true": "2", "false": "1"}
    assert dict(shown["year"]) == {"2024": "2", "2023": "1"}
    narrowed = listed(page(evil, "/?q=apples&f.lang=en"))
    assert dict(narrowed["year"]) == {"2024": "1", "2023": "1"}
    assert "lang" not in narrowed, "en is chosen, and no other is left"
    assert dict(listed(page(evil, "/?q=apples&f.tags=fruit"))["tags"]) == {"a'b": "1"}


def test_every_facet_link_finds_as_many_as_it_says(evil: Live) -> None:
    found = page(evil, "/?q=apples&mode=dense&k=20&collapse=1")
    links = [link for section in found.one("aside", "facets").all("section") for link in section.all("a")]
    assert len(links) > 8
    for link in links:
        chosen = page(evil, link.attributes["href"] + "&k=20")
        assert str(len(list(chosen.all("li", "hit")))) == link.one("span").text, link.attributes["href"]
        chips = list(chosen.one("ul", "chips").all("a"))
        assert [chip.query.get("collapse") for chip in chips] == ["1", None, "1"], (
            "the value, collapse, all conditions"
        )
        assert doc_ids(page(evil, chips[0].attributes["href"] + "&k=20")) == doc_ids(found)


def test_conditions_add_up(evil: Live) -> None:
    found = page(evil, "/?q=apples&filter=year+%3C+2024+or+year+%3E%3D+2024&f.lang=en&f.ripe=true&f.tags=fruit")
    assert doc_ids(found) == ["good"]
    chips = list(found.one("ul", "chips").all("a"))
    assert [chip.one("bdi").raw for chip in chips[:-1]] == [
        "lang: en", "ripe: true", "tags: fruit", "year < 2024 or year >= 2024",
    ]  # fmt: skip
    assert chips[-1].query == {"q": "apples"}
    assert chips[0].query == {
        "q": "apples",
        "filter": "year < 2024 or year >= 2024",
        "f.ripe": "true",
        "f.tags": "fruit",
    }


@pytest.mark.parametrize(
    "choice", ["f.nothing=x", "f.year=soon", "f.ripe=maybe", "f.doc_id=good", "f.year=1e3", "f.%22)--=x"]
)
def test_a_choice_that_makes_no_sense_is_a_bad_filter(evil: Live, choice: str) -> None:
    found = page(evil, f"/?q=apples&{choice}", 400)
    assert found.one("div", "failure").one("h1").text == ENGLISH.bad_filter
    assert found.one("a", "button").query == {"q": "apples"}


def test_a_choice_is_the_condition_that_it_says(hostile: Config) -> None:
    with stub.open_index(hostile.index_path) as index:
        choices = (Choice('odd"name', "x"), Choice("note", "'; drop table chunks; --"), Choice("TAGS", "a'b"))
        assert condition(PageState(choices=choices), index) == (
            "\"odd\"\"name\" = 'x' and \"note\" = '''; drop table chunks; --' and list_contains(\"tags\", 'a''b')"
        )
        assert condition(PageState(filter="lang = 'en'"), index) == "lang = 'en'"
        assert condition(PageState(), index) is None
        commented = PageState(filter="lang = 'en' or lang = 'ko'", choices=(Choice("year", "2024"),))
        assert condition(commented, index) == "(lang = 'en' or lang = 'ko'\n) and \"year\" = 2024"
        assert index.facets(["note"], condition(PageState(choices=choices[:1]), index))


def test_fields_are_offered_whose_values_sort_documents(hostile: Config, index: Index) -> None:
    with stub.open_index(hostile.index_path) as opened:
        fields = telling_fields(opened)
        assert set(fields) == {"ripe", "year", "note", "tags"} | ({"lang"} & set(fields))
        assert "title" not in fields
        assert "url" not in fields
    assert set(telling_fields(index)) <= {"lang", "year", "tags"}


def test_bars_are_the_contributions(index: Index) -> None:
    hits = index.search("a document about apples", k=6, explain=True)
    views = explanations([hit_answer(hit) for hit in hits], ENGLISH)
    parts = [leg.contribution for hit in hits for leg in hit.legs.values()]
    assert None not in parts
    low, high = min([0.0, *parts]), max([0.0, *parts])
    for hit, view in zip(hits, views, strict=True):
        assert view.total == f"{hit.score:.3f}"
        for leg, shown in zip(hit.legs.values(), view.legs, strict=True):
            length = float(shown.bar.length.rstrip("%")) / 100 * (high - low)
            assert math.isclose(length, abs(leg.contribution or 0), abs_tol=1e-3 * (high - low))
            start = float(shown.bar.start.rstrip("%")) / 100 * (high - low) + low
            assert math.isclose(start, min(leg.contribution or 0, 0), abs_tol=1e-3 * (high - low))
            assert shown.bar.is_negative == ((leg.contribution or 0) < 0)
    assert explanations([], ENGLISH) == []


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_an_explanation_says_what_the_api_says(live: Live, mode: str) -> None:
    told = live.get(f"/v1/search?q=apples&explain=true&mode={mode}")["results"][0]
    found = page(live, f"/?q=apples&explain=1&mode={mode}")
    panels = list(found.all("div", "why"))
    assert len(panels) == len(told["hits"]) > 0
    for panel, hit in zip(panels, told["hits"], strict=True):
        rows = list(panel.one("tbody").all("tr"))
        assert [row.all("td").__next__().one("svg").attributes["class"].split()[1] for row in rows] == [
            f"leg-{name}" for name in hit["legs"]
        ]
        assert [[cell.text for cell in row.all("td", "n")] for row in rows] == [
            [f"{leg['contribution']:+.3f}", f"{leg['score']:.3f}", f"{leg['weight']:.2f}"]
            for leg in hit["legs"].values()
        ]
        tokens = [token.one("bdi").raw for token in panel.all("span", "token")]
        assert tokens == [match["token"] for match in hit["matches"]][:12]
    reasons = [one.text for one in found.one("section", "trust").all("td", "reason")]
    assert reasons == [" ".join(one["words"].split()) for one in told["trust"]]
    assert not list(page(live, "/?q=apples").all("div", "why"))


def test_similar_documents_are_those_of_the_library(live: Live, index: Index) -> None:
    for doc_id in ("ko/1", "003.txt"):
        wanted = [hit.doc_id for hit in index.similar(Examples(documents=(doc_id,)), 10)]
        assert doc_ids(page(live, f"/?like={doc_id}")) == wanted
        told = live.get("/v1/similar", params={"doc_id": doc_id, "k": 10})
        assert [hit["doc_id"] for hit in told["hits"]] == wanted
        assert doc_id not in wanted
        filtered = live.get(
            "/v1/similar", params={"doc_id": doc_id, "filter": "lang is null", "k": 3, "mode": "dense"}
        )
        expected = index.similar(Examples(documents=(doc_id,)), 3, "dense", where="lang is null")
        assert [(hit["doc_id"], hit["score"]) for hit in filtered["hits"]] == [
            (h.doc_id, h.score) for h in expected
        ]
    live.refused("GET", "/v1/similar?doc_id=nowhere", 404)
    live.refused("GET", "/v1/similar?doc_id=ko%2F1&k=100000", 422)
    assert page(live, "/?like=nowhere", 404).one("div", "failure").text.startswith(ENGLISH.no_document)


def test_every_hit_leads_to_its_passage_and_to_its_like(live: Live) -> None:
    for hit in page(live, "/?q=plums&index=second&lang=ko").all("li", "hit"):
        link = next(hit.one("h2").all("a"))
        opened = page(live, link.attributes["href"].partition("#")[0])
        passage = link.attributes["href"].partition("#")[2]
        assert opened.one(id_=passage).raw.strip() in next(hit.all("span", "itself")).raw
        similar = [one for one in hit.one("ul", "meta").all("a") if "like" in one.query]
        assert similar[0].query == {"like": link.query["id"], "index": "second", "lang": "ko"}


@pytest.fixture(scope="module")
def long_text() -> str:
    return "\n\n".join(
        f"Paragraph {number} about apples and pears. " + "More words follow. " * 12 for number in range(300)
    )


@pytest.fixture(scope="module")
def lengthy(tmp_path_factory: pytest.TempPathFactory, long_text: str) -> Config:
    """Documents of many chunks, cut by the real chunker."""
    base = tmp_path_factory.mktemp("lengthy")
    (base / "documents").mkdir()
    (base / "documents" / "long.txt").write_text(long_text)
    (base / "documents" / "short.md").write_text("# One\n\napples\n\n## Two\n\n`pears`\n")
    config = config_for(base, chunking={"max_tokens": 64, "overlap_tokens": 16})
    stub.build(config, chunker=None)
    return config


def test_a_long_document_is_read_page_by_page(lengthy: Config, long_text: str) -> None:
    from tests.support.live import serving

    with stub.open_index(lengthy.index_path) as index, serving({"one": index}) as live:
        chunks = index.document("long.txt")
        assert len(chunks) > 200
        address, texts, places = "/document?id=long.txt", [], []
        while address:
            found = page(live, address)
            passages = list(found.all("div", "passage"))
            texts += [passage.raw.strip("\n") for passage in passages]
            places += [passage.attributes["id"] for passage in passages]
            later = [link.attributes["href"] for link in found.all("a") if link.text == ENGLISH.later]
            address = later[0] if later else ""
        assert places == [f"passage-{chunk.ordinal}" for chunk in chunks]
        assert "".join(texts).split() == joined_text(chunks).split() or " ".join(texts).split() == long_text.split()
        middle = page(live, f"/document?id=long.txt&at={chunks[150].ordinal}")
        assert middle.one(id_="passage-150")
        for nonsense in ("x", "-3", "999999999999", ""):
            assert page(live, f"/document?id=long.txt&at={nonsense}")
        markdown = page(live, "/document?id=short.md").one("div", "passages")
        assert [one.text for one in markdown.all("h3")] == ["Two"]
        assert markdown.one("code").text == "pears"


def test_the_text_around_a_hit_reads_on(lengthy: Config) -> None:
    from tests.support.live import serving

    with stub.open_index(lengthy.index_path) as index, serving({"one": index}) as live:
        hits = index.search("paragraph 7 about apples", k=5, context=1)
        shown = list(page(live, "/?q=paragraph+7+about+apples&k=5").all("details", "context"))
        assert [details.one("div").raw for details in shown] == [
            f"{hit.before}{hit.text}{hit.after}" for hit in hits
        ]
