"""A filter uses functions of a list and nothing without bound; what is refused or stopped harms no other filter."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import QueryError
from pipeline.index.columns.derive import columns_of
from pipeline.index.columns.reader import SegmentColumns
from pipeline.query.filter.allowed import LIMITS, Limits, refusal
from pipeline.query.filter.functions import FUNCTIONS
from pipeline.query.filter.masks import ChunkFilter
from pipeline.query.filter.table import ColumnTable

PAGE = Path(__file__).parents[3] / "docs/filters.md"


def chunks(rows: int) -> pa.Table:
    """Chunks with metadata of every kind."""
    numbers = range(rows)
    metadata = [
        {
            "lang": "ko" if row % 2 else "en",
            "year": 2000 + row,
            "tags": ["a", f"t{row}"],
            "title": f"Some title {row}",
            "date": f"2020-01-{row % 28 + 1:02}",
            "meta": {"team": {"name": f"n{row}"}},
        }
        for row in numbers
    ]
    columns: dict[str, list[Any]] = {
        name: [f"{name}-{row}" for row in numbers] for name in ("chunk_id", "doc_id", "source")
    }
    columns |= {"ordinal": list(numbers), "metadata": [json.dumps(one) for one in metadata]}
    return pa.table(columns)


def filter_of(rows: int, limits: Limits = LIMITS) -> ChunkFilter:
    columns = SegmentColumns(columns_of([chunks(rows)]), Path("columns"))
    return ChunkFilter(ColumnTable([columns]), limits)


def kept(conditions: ChunkFilter, condition: str) -> list[int]:
    (mask,) = conditions.masks(condition)
    return np.flatnonzero(mask).tolist()


CHUNKS = filter_of(6)


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        ("sleep_ms(5000)", "sleep_ms"),
        ("SLEEP_MS(5000)", "sleep_ms"),
        ("main.sleep_ms(5000)", "sleep_ms"),
        ('system.main."Sleep_MS"(5000)', "sleep_ms"),
        ("year.sleep_ms()", "sleep_ms"),
        ("case when lang = 'ko' then sleep_ms(5000) end", "sleep_ms"),
        ("pg_sleep(5)", "pg_sleep"),
        ("lpad('a', 2000000000, 'b') is null", "lpad"),
        ("lang.lpad(2000000000, 'b') is null", "lpad"),
        ("len(range(500000000)) > 0", "range"),
        ("len(range(3000000000)) > 0", "range"),
        ("len([i for i in range(3000000000)]) > 0", "range"),
        ("1 = any(generate_series(1, 3000000000))", "generate_series"),
        ("repeat/* */('a', 2000000000) = ''", "repeat"),
        ("[tag.repeat(2000000000) for tag in tags] is null", "repeat"),
        ("list_reduce(tags, lambda a, b: a || a || b) = ''", "list_reduce"),
        ("list_resize(tags, 2000000000) is null", "list_resize"),
        ("printf('%2000000000d', year) = ''", "printf"),
        ("bitstring('1', 2000000000) is null", "bitstring"),
        ("year! > 0", "factorial"),
        ("current_setting('threads') = '1'", "current_setting"),
        ("random() > 0.5", "random"),
    ],
)
def test_a_function_that_is_not_listed_is_refused_by_name(condition: str, name: str) -> None:
    with pytest.raises(QueryError, match=rf"^filter: at character \d+, .* function {name}; docs/filters\.md"):
        CHUNKS.masks(condition)
    assert kept(CHUNKS, "lang = 'ko'") == [1, 3, 5]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("LOWER(title) = 'some title 2' or main.upper(lang) = 'KO' and year = 2001", [1, 2]),
        ("title.lower().replace(' ', '') = 'sometitle3'", [3]),
        ("year % 2 = 1 and (year - 2000) ^ 2 > 4 and abs(-year) < 2005", [3]),
        ("year between 2001 and 2003 and lang <> 'ko'", [2]),
        ("year::text like '%4' or year in (2000, 2005)", [0, 4, 5]),
        ("title similar to '.*[12]' or title ~ '5$'", [1, 2, 5]),
        ("regexp_extract(title, '\\d+')::int > 3", [4, 5]),
        ("regexp_replace(title, '[^0-9]', '', 'g') = '4'", [4]),
        ("title ilike '%TITLE 1' or title glob '*2' or title[1:4] = 'None'", [1, 2]),
        ("lang || '-' || year = 'ko-2003' or concat(lang, year) = 'en2000'", [0, 3]),
        ("date::date > date '2020-01-04' and extract(month from date::date) = 1", [4, 5]),
        ("date_diff('day', date '2020-01-01', date::date) = 2", [2]),
        ("date::date + interval 1 day = date '2020-01-03'", [1]),
        ("list_has_any(tags, ['t1', 't4']) or tags[2] = 't0'", [0, 1, 4]),
        ("'t2' in tags or 't3' = any(tags)", [2, 3]),
        ("len([lower(tag) for tag in tags if tag like 't%' and tag > 't3']) = 1", [4, 5]),
        ("list_contains(list_transform(tags, lambda tag: upper(tag)), 'T5')", [5]),
        ("list_filter(tags, lambda tag: tag = 't1' or tag = 't2') <> []", [1, 2]),
        ("meta->>'$.team.name' = 'n3' or json_extract_string(meta, '$.team.name') = 'n1'", [1, 3]),
        ("{'a': year}.a = 2002 or map {'k': year}['k'] = 2003", [2, 3]),
        ("case when lang = 'ko' then year > 2002 else year = 2000 end", [0, 3, 5]),
        ("title <> 'case x\u3000' and case /* of */ when year > 2003 then true end -- case x", [4, 5]),
        ("coalesce(nullif(lang, 'ko'), 'none') = 'none' and (lang, year) = ('ko', 2001)", [1]),
        ("try_cast(title as int) is null and lang collate nocase = 'KO'", [1, 3, 5]),
        ("split_part(title, ' ', 3) = '2' or greatest(year, 2004) = 2005", [2, 5]),
    ],
)
def test_what_people_need_on_metadata_works(condition: str, expected: list[int]) -> None:
    assert kept(CHUNKS, condition) == expected


LISTED: list[tuple[str, str]] = duckdb.sql(
    "SELECT DISTINCT function_name, function_type FROM duckdb_functions()"
).fetchall()
CALLABLE = {name for name, _ in LISTED if re.fullmatch(r"\w+", name)}


@pytest.mark.parametrize(
    "form", ["\"{}\"(a, '', '')", "main.\"{}\"(a, '', '')", "a.\"{}\"('', '')", '"{}"(a) over ()']
)
def test_every_function_of_duckdb_is_listed_or_refused(form: str) -> None:
    """`regexp_replace` alone may be listed and cannot be written in every form."""
    kinds = {name.lower(): [kind for other, kind in LISTED if other.lower() == name.lower()] for name, _ in LISTED}
    with duckdb.connect(":memory:") as connection:
        for name in sorted(CALLABLE):
            for spelling in (name, name.upper()):
                query = f"SELECT 1 WHERE {form.format(spelling)}"
                (text,) = connection.execute("SELECT json_serialize_sql(?, skip_null := true)", [query]).fetchall()[
                    0
                ]
                where = json.loads(text)["statements"][0]["node"]["where_clause"]
                found = refusal(where, len(query), lambda name: kinds.get(name, []), Limits())
                listed = name in FUNCTIONS and "over" not in form
                assert (found is None) == listed or name == "regexp_replace", (spelling, found)


def test_the_list_names_functions_that_exist_and_the_page_names_them_all() -> None:
    assert FUNCTIONS - {name for name, _ in LISTED} == set()
    shown = set(re.findall(r"`([^`\s]+)`", PAGE.read_text("utf-8")))
    assert {name for name in FUNCTIONS if not name.endswith("like_escape")} - shown == set()
    unlisted = (shown & CALLABLE) - FUNCTIONS - {"glob", "json", "uuid"}  # an operator and types
    assert unlisted == {"repeat", "lpad", "range", "printf", "sleep_ms", "random", "current_setting", "read_text"}


def nested(form: str, times: int, inner: str = "title") -> str:
    for _ in range(times):
        inner = form.format(inner)
    return inner


@pytest.mark.parametrize(
    "condition",
    [
        nested("[{}]::text", 40) + " = ''",
        nested("json_extract([{}], '$')", 30) + " is null",
        nested("regexp_replace({}, '', 'x', 'g')", 40) + " = ''",
        nested("nullif({}, 'x')", 40) + " is null",
        nested("split_part({}, 'x', 1)", 40) + " = ''",
        nested("({} between 'a' and 'b')::text", 40) + " = ''",
        nested("case {} when 'a' then 'b' when 'c' then 'd' end", 30) + " = 'b'",
        "CASE /* case when */ lang WHEN 'ko' THEN true END",
        "case\u00a0lang when 'ko' then true end",
        "true and\u3000case\u2003lang when 'ko' then true end",
        "case\u00a0when\u00adx when 'ko' then true end",
        "case when한국 when 'ko' then true end",
        nested("list_transform({}, lambda t: t || t || t)", 30, "tags") + " is null",
        nested("list_transform({}, lambda t: [t, t])", 30, "tags") + " is null",
        nested("list_transform({}, lambda t: t + t)", 30, "[tags]") + " is null",
        nested("list_transform(tags, lambda t: {})", 9) + " is null",
        nested("list_transform({}, lambda t: lower(t))", 9, "tags") + " is null",
        f"replace('{'a' * 40_000}', 'a', '{'b' * 40_000}') = ''",
        f"title.replace('t', '{'b' * 90_000}') = ''",
        f"concat({','.join(['title'] * 10_000)}) = ''",
        "json_extract(meta, ['$'" + ", '$'" * 10_000 + "]) is null",
        "json_extract(meta, '$..*') is null",
        "null::int[100000][100000] is null",
        "title::blob::bit::varchar = ''",
        "try(year) = 2000",
        "'a' = any(with recursive r as (select 1 union all select 1 from r) select unnest(tags))",
    ],
)
def test_what_multiplies_is_refused_before_it_runs(condition: str) -> None:
    with pytest.raises(QueryError, match=r"^filter: ") as error:
        CHUNKS.masks(condition)
    assert re.search("docs/filters|no lambda|no subqueries|write", str(error.value))
    assert "\n" not in str(error.value)
    assert kept(CHUNKS, "lang = 'ko'") == [1, 3, 5]


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 40_000 + "true" + ")" * 40_000,
        "[" * 40_000 + "]" * 40_000,
        "not " * 20_000 + "true",
        "- " * 400 + "year = 1",
        "+".join(["year"] * 500) + " = 1",
        nested("lower({})", 300) + " = ''",
        "year::int" + "[]" * 400 + " is null",
    ],
)
def test_a_deep_condition_is_one_error(condition: str) -> None:
    with pytest.raises(QueryError, match=r"nested too deeply|at most 100") as error:
        CHUNKS.masks(condition)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("condition", ["lang = '\ud800'", "case when lang = '\ud800' then true end"])
def test_half_a_character_is_an_error(condition: str) -> None:
    with pytest.raises(QueryError, match=r"^filter: the condition is not valid Unicode"):
        CHUNKS.masks(condition)


def test_long_conditions_work_up_to_the_limit() -> None:
    ids = ", ".join(f"'doc_id-{number}'" for number in range(2, 5_000))
    assert kept(CHUNKS, f"doc_id in ({ids})") == [2, 3, 4, 5]
    assert kept(CHUNKS, " or ".join(f"year = {number}" for number in range(2_002, 4_000))) == [2, 3, 4, 5]
    with pytest.raises(QueryError, match=r"^filter: the condition has 100,001 characters; at most 100,000"):
        CHUNKS.masks("true".ljust(100_001))
    assert len(kept(CHUNKS, "true".ljust(100_000))) == 6


SLOW = f"regexp_replace(regexp_replace(concat({','.join(['title'] * 99)}), '', 'x', 'g'), '', 'x', 'g') = ''"


def test_a_slow_regular_expression_is_interrupted_and_no_other_filter_is() -> None:
    hurried, calm = filter_of(10, Limits(seconds=0.1)), filter_of(10)
    slow = filter_of(6_000, Limits(seconds=0.1))
    errors: list[str] = []

    def run() -> None:
        with pytest.raises(QueryError) as error:
            slow.masks(SLOW)
        errors.append(str(error.value))

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        assert kept(calm, "year < 2002 and title ~ 'title'") == [0, 1]
    assert errors == ["filter: took longer than 0.1 s; docs/filters.md lists what a condition may use"]
    assert kept(hurried, "year < 2002") == [0, 1]
    assert kept(slow, "ordinal < 2") == [0, 1]


def test_too_little_memory_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = filter_of(5_000, Limits(memory="1MB"))
    with pytest.raises(QueryError, match=r"^filter: needs more than 1MB of memory; docs/filters\.md"):
        small.masks("'t5' = any(tags)")
    assert kept(small, "list_contains(tags, 't5')") == [5]
    assert list(tmp_path.iterdir()) == []
