"""Sections that merge and documents with their best chunks, against the plain definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.errors import QueryError
from pipeline.query.searcher import Index
from pipeline.records import Hit
from tests.faults import stub
from tests.support.collection import config_for

WORDS = ("apples", "pears", "plums", "figs", "limes", "kiwis")


CODE = "def okapi(okapis):\n" + "    okapis = okapis + okapi(okapis, okapis)\n" * 4


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Documents of sections of one to four chunks; some sections span segments."""
    base = tmp_path_factory.mktemp("grouping")
    rng = np.random.default_rng(3)
    (base / "documents").mkdir()
    for i in range(40):
        text = f"---\nlang: {'ko' if i % 4 == 0 else 'en'}\n---\n"
        for section in range(3):
            text += f"# Part {section}\n\n"
            for paragraph in range(int(rng.integers(1, 5))):
                text += " ".join(rng.choice(WORDS, 12)) + f" {i} {section} {paragraph}.\n\n"
        (base / "documents" / f"{i:02}.md").write_text(text)
    (base / "documents" / "long.md").write_text(
        "# Whole\n\n"
        + "Zebras graze here and zebras rest there all day long.\n\n" * 2
        + "Zebras and zebras and zebras.\n\n# Other\n\nNothing about them, but for rocks and rivers.\n"
    )
    (base / "documents" / "long.py").write_text("import rocks\n\n\n" + CODE + "\n\nrocks.roll()\n")
    config = config_for(
        base,
        chunking={"max_tokens": 16, "overlap_tokens": 0},
        segments={"max_chunks": 100},
        encode={"shard_chunks": 50},
        query={"depth": 20},
    )
    pipeline.build(config, encoder=stub.encoder())
    with pipeline.open_index(config.index_path, encoder=stub.encoder(), settings=config.query) as opened:
        assert len(opened.snapshot.segments) > 1
        yield opened


def sections(index: Index, doc_id: str) -> list[list[str]]:
    """The chunk ids of each run of chunks under the same headings."""
    found: list[list[str]] = []
    last = None
    for chunk in index.document(doc_id):
        if chunk.headings != last:
            found.append([])
        last = chunk.headings
        found[-1].append(chunk.chunk_id)
    return found


@pytest.mark.parametrize("query", ["zebras", "apples", "plums 7 2", "figs and limes 0"])
@pytest.mark.parametrize("k", [1, 3, 10, 40])
def test_a_section_merges_if_more_than_half_of_it_is_found(index: Index, query: str, k: int) -> None:
    plain = index.search(query, 200)
    best = {hit.chunk_id for hit in plain[:k]}
    merging: dict[str, list[str]] = {}
    for doc_id in {hit.doc_id for hit in plain[:k]}:
        for section in sections(index, doc_id):
            if len(section) > 1 and len(best.intersection(section)) > len(section) / 2:
                merging |= dict.fromkeys(section, section)
    expected: list[tuple[str, list[str]]] = []
    seen: set[str] = set()
    for hit in plain:
        section = merging.get(hit.chunk_id, [hit.chunk_id])
        if section[0] not in seen and len(expected) < k:
            expected.append((hit.chunk_id, section))
        seen.add(section[0])
    found = index.search(query, k, merge=True)
    assert [hit.chunk_id for hit in found] == [chunk_id for chunk_id, _ in expected]
    for hit, (chunk_id, section) in zip(found, expected, strict=True):
        chunks = [chunk for chunk in index.document(hit.doc_id) if chunk.chunk_id in section]
        assert (hit.start, hit.end) == (chunks[0].start, chunks[-1].end)
        assert all(chunk.text in hit.text for chunk in chunks)
        if len(section) == 1:
            assert hit.section is None
            continue
        assert hit.section is not None
        assert (hit.section.first, hit.section.last) == (chunks[0].ordinal, chunks[-1].ordinal)
        assert hit.section.hits == len(best.intersection(section))
        own = next(chunk for chunk in chunks if chunk.chunk_id == chunk_id)
        assert hit.text[slice(*hit.section.best)] == own.text


def test_a_whole_section_comes_back_with_its_best_chunk_marked(index: Index) -> None:
    (hit,) = index.search("zebras", 3, mode="lexical", merge=True, context=1, highlights=True)
    assert (hit.doc_id, hit.headings) == ("long.md", ("Whole",))
    assert hit.section is not None
    assert hit.section.last - hit.section.first + 1 == len(sections(index, "long.md")[0]) > 1
    assert hit.highlight is not None
    assert {hit.text[a:b].lower() for a, b in hit.highlight.spans} == {"zebras"}
    assert len(hit.highlight.spans) == hit.text.lower().count("zebras")
    assert hit.after is not None
    assert "rocks and rivers" in hit.after


def test_a_section_of_code_has_the_lines_of_all_its_chunks(index: Index) -> None:
    hit, *_ = index.search("okapi", 9, mode="lexical", merge=True)
    assert hit.section is not None
    assert hit.section.last > hit.section.first
    assert CODE.strip() in hit.text
    assert (hit.metadata["line"], hit.metadata["last_line"]) == (4, 4 + CODE.count("\n") - 1)
    alone = index.search("okapi", 9, mode="lexical")
    assert {one.metadata["line"] for one in alone} <= set(range(4, 9))
    assert len({one.metadata["line"] for one in alone}) > 1


def by_document(hits: list[Hit]) -> dict[str, list[Hit]]:
    found: dict[str, list[Hit]] = {}
    for hit in hits:
        found.setdefault(hit.doc_id, []).append(hit)
    return found


@pytest.mark.parametrize("mode", ["hybrid", "lexical"])
@pytest.mark.parametrize("where", [None, "ordinal <> 0"])
@pytest.mark.parametrize("boosts", [[], ["1.7 if ordinal = 1"]])
def test_each_document_has_its_best_chunks(index: Index, mode: str, where: str | None, boosts: list[str]) -> None:
    options: dict[str, Any] = {"mode": mode, "where": where, "boosts": boosts}
    everything = by_document(index.search("apples 3", 1000, **options))
    found = index.search("apples 3", 7, group="doc_id", group_size=3, **options)
    groups = by_document(found)
    assert list(groups) == [hit.doc_id for hit in index.search("apples 3", 7, collapse=True, **options)]
    assert [hit.doc_id for hit in found] == [doc_id for doc_id, hits in groups.items() for _ in hits]
    for doc_id, hits in groups.items():
        scores = {hit.chunk_id: hit.score for hit in everything[doc_id]}
        assert len(hits) == min(3, len(scores))
        assert {hit.chunk_id: hit.score for hit in hits}.items() <= scores.items()
        kept = {hit.chunk_id for hit in hits[1:]} | {hits[0].chunk_id}
        assert min(h.score for h in hits[1:]) >= max([s for c, s in scores.items() if c not in kept], default=-9)
        assert [hit.score for hit in hits[1:]] == sorted((hit.score for hit in hits[1:]), reverse=True)


def test_the_first_documents_do_not_depend_on_how_many_are_asked_for(index: Index) -> None:
    many = index.search("plums", 30, group="doc_id", group_size=4)
    few = index.search("plums", 4, group="doc_id", group_size=4)
    assert many[: len(few)] == few
    one = index.search("plums", 4, group="doc_id", group_size=1)
    collapsed = index.search("plums", 4, collapse=True)
    assert one == collapsed


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"group": "lang"}, "group='lang': hits are grouped by doc_id"),
        ({"group": "doc_id", "group_size": 0}, "group_size=0"),
        ({"group_size": 2}, "group_size=2: nothing is grouped; give group='doc_id'"),
        ({"group": "doc_id", "collapse": True}, "group and collapse exclude each other"),
        ({"merge": True, "group": "doc_id"}, "merge and group exclude each other"),
        ({"merge": True, "distinct": 0.5}, "merge and distinct exclude each other"),
    ],
)
def test_what_excludes_each_other_is_refused(index: Index, given: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        index.search("figs", **given)


def test_multi_vectors_rerank_within_groups(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("reranked")
    (base / "documents").mkdir()
    for i in range(6):
        (base / "documents" / f"{i}.txt").write_text(f"apples {i}")
    config = config_for(base)
    stub.build(config)
    with stub.open_index(config.index_path, encoder=stub.encoder()) as opened:
        plain = opened.search("apples 3", 4, rerank="multivectors", rerank_top=3)
        grouped = opened.search("apples 3", 4, rerank="multivectors", rerank_top=3, group="doc_id")
        assert grouped == plain
