"""A filter decides before ranking, on metadata alone, and reaches nothing outside."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipeline.errors import QueryError
from pipeline.job import build as builder
from pipeline.query.filter import masks
from pipeline.query.filter.allowed import Limits
from pipeline.query.filter.engine import Database
from pipeline.query.searcher import Index, open_index
from tests.support.collection import config_for, write_documents


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
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
    with open_index(config.index_path) as index:
        yield index


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
        ("'t3' = any(tags) -- the newest", ["03"]),
        ("len(list_filter(tags, lambda tag: tag = 't7')) = 1", ["07"]),
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


def test_facets_are_of_live_chunks_that_satisfy_the_condition(index: Index) -> None:
    lang, tags = index.facets(["lang", "tags"], limit=3)
    assert [(one.value, one.documents) for one in lang.values] == [("en", 6), ("ko", 5)]
    assert [(one.value, one.documents) for one in tags.values] == [("a", 11), ("t0", 1), ("t1", 1)]
    assert (tags.distinct, tags.missing) == (12, 1)
    (lang,) = index.facets("lang", where="year >= 2004")
    assert [(one.value, one.documents) for one in lang.values] == [("en", 4), ("ko", 3)]
    assert index.facets([]) == []
    with pytest.raises(QueryError, match="unknown field 'langs'"):
        index.facets(["langs"])
    with pytest.raises(QueryError, match=r"^filter: "):
        index.facets(["lang"], where="lang = ")
    with pytest.raises(QueryError, match=r"^where=7: give an SQL condition"):
        index.facets(["lang"], where=7)  # type: ignore[arg-type]


def test_a_condition_is_evaluated_once_beside_the_encoding(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is wrong with it is told all the same."""
    asked: list[tuple[str, bool]] = []
    real = masks.database

    def spy(condition: str, names: list[str], limits: Limits) -> AbstractContextManager[Database]:
        asked.append((condition, threading.current_thread() is threading.main_thread()))
        return real(condition, names, limits)

    monkeypatch.setattr(masks, "database", spy)
    for _ in range(2):
        assert len(index.search("common", where="year = 2003 or year = 2004")) == 2
    assert asked == [("year = 2003 or year = 2004", False)]
    with pytest.raises(QueryError, match=r"^filter: .*unknown column 'yeer'"):
        index.search("common", where="yeer = 2003")
    assert len(asked) == 2


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
    with pytest.raises(QueryError, match=r"^filter: "):
        index.search("common", where=where)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", r"the condition is empty"),
        ("-- nothing", r"the condition is empty"),
        ("lang = 'ko' and", r"at character 13, `and`: the condition ends too early"),
        ("lang = 'ko' and (year = 3", r"at character 25, `3`: the condition ends too early"),
        ("lang = '한국' and or open", r"at character 17, `or`: not expected here \(columns: .*lang.*\)"),
        ("lang = 'ko", r"at character 8, `'ko`: unterminated string"),
        ("open limit 1", r"at character 6, `limit`: not expected here"),
        ("open; drop table x", r"at character 5, `;`: give one condition, not several statements"),
        ("open); copy (select 1) to 'x'; --", r"at character 6, `;`: give one condition, not several statements"),
        ("lang in ('ko')) or (true", r"at character 15, `\)`: closes nothing"),
        ("open); select (true", r"give one condition, not several statements"),
        ("open) union select (1", r"give one condition, not several statements"),
        ("open, lang = 'ko'", r"join conditions by `and` or `or`"),
        (
            "lang = '한국' and langg = 'x'",
            r"at character 17, `langg`: unknown column 'langg'; did you mean 'lang'\?",
        ),
        ('lang = "ko"', r"at character 8, `\"ko\"`: unknown column 'ko'; .* a text stands in single quotes: 'ko'"),
        ("__row < 3", r"at character 1, `__row`: unknown column"),
        ("year > 'x'", r"at character 8, `'x'`: could not convert string 'x' to whole number"),
        ("tags like '%a%'", r"at character 6, `like '%a%'`: cannot be done with list of texts, text"),
        ("tags = 'a'", r"at character 8, `'a'`: a list is no text; ask .* by list_contains\(field, 'text'\)"),
        ("tags in ('a')", r"at character 10, `'a'`: a list is no text"),
        ("tags = 3", r"at character 8, `3`: a list is no value; ask .* by list_contains\(field, 'text'\)"),
        ("list_contains(tags, 3)", r"at character 21, `3`: list_contains cannot be asked with values of these"),
        ("lang > 2024", r"at character 1, `lang > 2024`: a text is compared with a text, which stands in single"),
        ("2024 < lang", r"at character 1, `2024 < lang`: a text is compared with a text"),
        ("lang > 2024-01-01", r"at character 1, .*: a text is compared with a text"),
        ("meta.lang = 'ko'", r"at character 1, `meta.lang`: a field is named alone, without `meta\.` \(columns: "),
        ("lenght(lang) > 1", r"at character 1, `lenght\(lang\)`: no such function; did you mean `length`\?"),
        ("count(*) > 1", r"at character 1, `count\(\*\)`: a condition is about one chunk at a time: no aggregates"),
        ("(select count(*) from duckdb_settings()) > 0", r"at character 1, .* no subqueries"),
        ("year in (select year from chunks)", r"at character 9, .* no subqueries"),
        ("year = 1 or (lang, year) in (select 1, 2)", r"at character 29, .* no subqueries"),
        ("columns(*) = 1", r"at character 9, `\*`: name the columns one by one"),
        ("year = ?", r"at character 8, `\?`: write the value itself"),
    ],
)
def test_an_error_points_into_the_condition_and_at_nothing_else(index: Index, where: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        index.search("common", where=where)
    text = str(error.value)
    assert re.match(f"filter: {message}", text), text
    assert "\n" not in text
    assert not re.search(r"SELECT|WHERE|arrow_object|modifiers|FROM|\^", text)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("lang = 'ko'", ["a", "b"]),
        ("\"Lang\" = 'ko'", ["a", "b"]),
        ("LANG = 'en'", ["c"]),
        ("source like '%rows.jsonl'", ["a", "b", "c"]),
        ("source = 'mine' or Source = 'mine'", []),
    ],
)
def test_keys_that_differ_by_case_are_one_column_and_those_of_chunks_win(
    tmp_path: Path, where: str, expected: list[str]
) -> None:
    rows = [
        {"_id": "a", "text": "common words", "lang": "ko", "source": "mine"},
        {"_id": "b", "text": "common words", "Lang": "ko", "Source": "mine"},
        {"_id": "c", "text": "common words", "Lang": "ko", "lang": "en"},
    ]
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    config = config_for(tmp_path)
    builder.build(config)
    with open_index(config.index_path) as other:
        found = other.search("common words", 9, where=where)
    assert sorted(hit.doc_id for hit in found) == expected
