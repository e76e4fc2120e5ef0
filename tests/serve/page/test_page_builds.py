"""Build reports over HTTP: made of their records, without anything of the machine that built."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.job.report import record
from pipeline.records import Rejection
from pipeline.serve.page.builds import without_paths
from tests.faults import stub
from tests.support.html import Element, parsed
from tests.support.live import Live, serving


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two generations; the record of the second names folders, as a careless one might."""
    stub.write_texts(tmp_path, 0, count=3)
    found = stub.stub_config(tmp_path)
    stub.build(found)
    stub.write_texts(tmp_path, 1, count=4)
    stub.build(found)
    said = record.load(found.index_path, 2)
    careless = dataclasses.replace(
        said,
        note=f"built from {tmp_path}/documents <b>",
        refusals=(f"{found.index_path}: no good", "see /var/secret/judgements.tsv:3, too"),
        rejected=2,
        rejections=(
            Rejection("/home/someone/a.pdf", "cannot open /home/someone/a.pdf"),
            Rejection("b.pdf", "<script>", 3),
        ),
    )
    record.save(found.index_path, careless, "<script>the page as it lies on disk</script>")
    return found


@pytest.fixture
def live(config: Config) -> Iterator[Live]:
    """A service over it."""
    with stub.open_index(config.index_path) as index, serving({"only": index}) as running:
        yield running


def page(live: Live, path: str, status: int = 200) -> Element:
    answer = live.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    return parsed(answer.text)


def test_the_report_is_one_click_away(live: Live) -> None:
    for path in ("/", "/?q=apples"):
        (link,) = (one for one in page(live, path).all("a") if one.text == "Build report")
        report = page(live, link.attributes["href"])
        assert "Generation 2" in report.one("h1").text
        assert list(report.one("main").all("svg")), "it has its plots"
        assert not list(report.one("main").all("style"))


def test_other_generations_are_listed(live: Live) -> None:
    report = page(live, "/builds?lang=ko")
    links = list(report.one("nav", "beside").all("a"))
    assert [link.text for link in links] == ["2세대", "1세대"]
    assert [link.query["generation"] for link in links if "aria-current" not in link.attributes] == ["1"]
    assert "Generation 1" in page(live, links[1].attributes["href"]).one("h1").text


def test_nothing_of_the_machine_is_told(live: Live, config: Config) -> None:
    report = page(live, "/builds")
    text = report.one("main").text
    assert "as it lies on disk" not in text
    for secret in (str(config.base), "/home", "/var", "someone", "secret/"):
        assert secret not in text
    for said in ("a.pdf", "b.pdf:3", "judgements.tsv:3, too", "<script>", "index only: no good", "<b>"):
        assert said in text


@pytest.mark.parametrize("generation", ["3", "0", "-1", "x", "00000001.json", "../manifest", "9" * 30, "1e0", "١"])
def test_nothing_else_is_served(live: Live, generation: str) -> None:
    page(live, f"/builds?generation={generation}", 404)


def test_a_missing_or_unreadable_record_is_no_error(live: Live, config: Config) -> None:
    record.record_path(config.index_path, 2).write_text("{}")
    page(live, "/builds", 404)
    assert page(live, "/builds?generation=1")
    for path in (config.index_path / "reports").iterdir():
        path.unlink()
    assert page(live, "/builds", 404).one("div", "failure").text


def test_a_failed_build_is_told_without_its_reason(live: Live, config: Config) -> None:
    (config.base / "documents").rename(config.base / "elsewhere")
    with pytest.raises(Exception, match="documents"):
        stub.build(config)
    report = page(live, "/builds")
    assert "The last build failed on" in report.one("p", "failure").text
    assert "elsewhere" not in report.text
    assert str(config.base) not in report.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file /a/b c/d.txt: gone", "no file b c/d.txt: gone"),
        ("at ~/x/y.z and ../q/r", "at y.z and r"),
        (
            "'/srv/data/queries.jsonl' and/or 3/4 of https://a.example/b/c",
            "'queries.jsonl' and/or 3/4 of https://a.example/b/c",
        ),
        ("docs/a.md stays, /b goes", "docs/a.md stays, b goes"),
    ],
)
def test_paths_are_cut_to_their_names(text: str, shown: str) -> None:
    assert without_paths(text) == shown
