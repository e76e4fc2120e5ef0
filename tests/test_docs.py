"""Documents point to things that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pipeline import parse_config

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "examples/README.md",
    ROOT / "deploy/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_documents_of_examples_are_in_the_handbook(page: Path) -> None:
    """So that an example runs as it is written on the index that `make demo` builds."""
    text = page.read_text("utf-8")
    named = re.findall(r"\b(?:en|ko)/[\w-]+\.md", text)
    named += [
        name
        for some in re.findall(r'"(?:clicks|documents)": \[(.*?)\]', text)
        for name in re.findall(r'"(.*?)"', some)
    ]
    assert [name for name in named if not (ROOT / "data/handbook" / name).is_file()] == []


@pytest.mark.parametrize("name", ["encoders.md", "endpoints.md", "tutorial.md"])
def test_every_configuration_shown_holds(name: str) -> None:
    shown = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / name).read_text("utf-8"), re.DOTALL)
    assert shown
    for text in shown:
        raw = yaml.safe_load(text)
        config = parse_config({"encoder": {"model": "a/model"}, **raw})
        for key, value in raw.get("encoder", {}).items():
            assert config.encoder.model_dump(exclude_unset=True)[key] == value


@pytest.mark.parametrize("target", ["demo", "test", "check", "format", "bench", "help"])
def test_the_makefile_has_what_the_documents_promise(target: str) -> None:
    assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_the_architecture_names_what_is_there() -> None:
    """A path is below the package or the project; a single folder or file name is somewhere in the package."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[a-z_0-9]+/)+(?:[a-z_0-9]+\.py)?)", text))
    assert len(named) > 50
    known = {path.name for path in (ROOT / "pipeline").rglob("*")} | {"staging"}
    for path in sorted(named):
        alone = path.count("/") == 1 and path.endswith("/")
        assert any((root / path).exists() for root in (ROOT, ROOT / "pipeline")) or (
            alone and path[:-1] in known
        ), path
    assert set(re.findall(r"`([a-z_0-9]+\.py)", text)) <= known


def test_the_sample_collection_holds_together() -> None:
    import json

    pages = {p.relative_to(ROOT / "data/handbook").as_posix() for p in (ROOT / "data/handbook").rglob("*.md")}
    queries = [json.loads(line) for line in (ROOT / "data/queries.jsonl").read_text("utf-8").splitlines()]
    judged = [line.split("\t") for line in (ROOT / "data/qrels.tsv").read_text("utf-8").splitlines()[1:]]
    assert len(pages) >= 30
    assert len(queries) >= 60
    assert {query["_id"] for query in queries} == {row[0] for row in judged}
    assert {row[1] for row in judged} <= pages
    korean = [query for query in queries if query["metadata"]["lang"] == "ko"]
    assert len(korean) * 2 == len(queries)


def test_questions_say_in_which_language_their_answers_are() -> None:
    import json

    lines = (ROOT / "data/queries.jsonl").read_text("utf-8").splitlines()
    queries = {query["_id"]: query for query in map(json.loads, lines)}
    assert len(queries) == len(lines)
    assert len({query["text"] for query in queries.values()}) == len(lines), "no question is asked twice"
    judged = [line.split("\t") for line in (ROOT / "data/qrels.tsv").read_text("utf-8").splitlines()[1:]]
    assert len({(query_id, page) for query_id, page, _ in judged}) == len(judged)
    assert {score for *_, score in judged} == {"1", "2"}
    crossing = []
    for query_id, query in queries.items():
        asked, answered = query["metadata"]["lang"], query["metadata"]["answer_lang"]
        best = {page.split("/")[0] for name, page, score in judged if (name, score) == (query_id, "2")}
        assert best == {answered}, query_id
        assert asked == ("ko" if re.search("[가-힣]", query["text"]) else "en"), query_id
        crossing += [(asked, answered)] if asked != answered else []
    assert set(crossing) == {("ko", "en"), ("en", "ko")}
    assert min(crossing.count(pair) for pair in set(crossing)) >= 12
