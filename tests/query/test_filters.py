"""A filter decides before ranking, on metadata alone, and reaches nothing outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import builder
from pipeline.errors import QueryError
from pipeline.query.searcher import Index, open_index
from tests.collection import config_for, write_documents


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("filters")
    texts = {
        f"{i:02}.md": f"---\nlang: {'ko' if i % 2 else 'en'}\nyear: {2000 + i}\ntags: [a, t{i}]\n"
        f"ratio: {i / 2}\nopen: {'true' if i < 3 else 'false'}\n---\ncommon words number {i}"
        for i in range(12)
    }
    write_documents(folder / "documents", texts | {"plain.md": "common words without front matter"})
    config = config_for(folder, encode={"shard_chunks": 4}, segments={"max_chunks": 5, "dense": "auto"})
    builder.build(config)
    (folder / "documents/11.md").unlink()
    builder.build(config)
    return open_index(config.index_path)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("lang = 'ko' and year >= 2004", ["05", "07", "09"]),
        ("year = 2007", ["07"]),
        ("list_contains(tags, 't3') or ratio = 4.5", ["03", "09"]),
        ("open", ["00", "01", "02"]),
        ("doc_id like '0%' and year > 2008", ["09"]),
        ("year is null", ["plain"]),
        ("year = 1900", []),
        ("lang = 'it''s; drop table chunks --'", []),
        ("true", [*(f"{i:02}" for i in range(11)), "plain"]),
    ],
)
def test_exactly_what_satisfies_the_condition_is_ranked(
    index: Index, mode: str, where: str, expected: list[str]
) -> None:
    hits = index.search("common words", 50, mode, where=where)
    assert sorted(hit.doc_id.removesuffix(".md") for hit in hits) == sorted(expected)
    unfiltered = {hit.chunk_id: hit.legs for hit in index.search("common words", 50, mode)}
    for hit in hits:
        assert {leg: s.score for leg, s in hit.legs.items()} == {
            leg: s.score for leg, s in unfiltered[hit.chunk_id].items()
        }


@pytest.mark.parametrize(
    "where",
    [
        "lang = ",
        "lng = 'ko'",
        "lang = 'ko'; select 1",
        "true); copy (select 1) to 'stolen.csv'; --",
        "exists (select * from read_csv('/etc/passwd'))",
        "year in (select count(*) from glob('/*'))",
        "(select content from read_text('/etc/hostname')) = 'x'",
        "",
    ],
)
def test_mistakes_and_injections_are_errors(
    index: Index, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QueryError, match=r"^filter "):
        index.search("common", where=where)
    assert list(tmp_path.iterdir()) == []
