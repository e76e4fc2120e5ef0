"""Boosts against the plain definition: the score of every chunk, times its factor, sorted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QueryError
from pipeline.query.boosting.dates import as_seconds
from pipeline.query.boosting.factors import boosted
from pipeline.query.request import SearchRequest
from pipeline.query.searcher import Index
from pipeline.query.similar import Examples
from tests.faults import stub
from tests.support.collection import config_for

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WORDS = ("apples", "pears", "plums", "figs", "limes", "kiwis")
RECENCY, STARS, KOREAN = "recency(updated, 30d, 1)", "saturation(stars, 10)", "2 if lang = 'ko'"
BOOSTS = ([RECENCY], [STARS], [KOREAN], ["0.5 if lang = 'ko'"], [RECENCY, STARS, "1.3 if ordinal = 0"])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Three segments; some chunks have no date, no stars, or a date that is none."""
    base = tmp_path_factory.mktemp("boosts")
    rng = np.random.default_rng(7)
    (base / "documents").mkdir()
    lines = []
    for i in range(500):
        text = " ".join(rng.choice(WORDS, 4)) + f" {i}"
        updated = (NOW - timedelta(days=int(rng.integers(-5, 200)))).isoformat()
        record: dict[str, Any] = {"id": f"d{i}", "text": text, "lang": "ko" if rng.random() < 0.05 else "en"}
        record |= {} if i % 7 == 0 else {"updated": "soon" if i % 11 == 0 else updated}
        record |= {} if i % 5 == 0 else {"stars": int(rng.integers(-3, 100))}
        lines.append(json.dumps(record))
    (base / "documents" / "all.jsonl").write_text("\n".join(lines))
    config = config_for(base, segments={"max_chunks": 200}, encode={"shard_chunks": 100}, query={"depth": 10})
    stub.build(config)
    with stub.open_index(config.index_path, encoder=stub.encoder(), settings=config.query) as opened:
        yield opened


def factor(index: Index, number: int, boost: str) -> float:
    """The formula once more, for one chunk."""
    chunk = index.snapshot.chunk(number)
    found = chunk.metadata
    if boost == RECENCY:
        try:
            moment = datetime.fromisoformat(str(found.get("updated")))
        except ValueError:
            return 1.0
        return 1 + 0.5 ** (max((NOW - moment).total_seconds(), 0) / 86400 / 30)
    if boost == STARS:
        stars = max(int(found["stars"]), 0) if "stars" in found else 0  # type: ignore[call-overload]
        return 1 + 0.5 * stars / (stars + 10)
    given, _, condition = boost.partition(" if ")
    holds = {"lang = 'ko'": found["lang"] == "ko", "ordinal = 0": chunk.ordinal == 0}[condition]
    return float(given) if holds else 1.0


@pytest.mark.parametrize("boosts", BOOSTS)
@pytest.mark.parametrize("fusion", ["auto", "minmax", "zscore", "dbsf", "theoretical", "weighted"])
def test_no_chunk_is_overlooked(index: Index, fusion: str, boosts: list[str]) -> None:
    for mode, where in (("hybrid", None), ("dense", None), ("hybrid", "ordinal = 0 and stars > 20")):
        (whole,) = index.rank(["apples and figs"], 500, mode, fusion=fusion, where=where)
        factors = {int(n): math.prod(factor(index, int(n), boost) for boost in boosts) for n in whole.ids}
        expected = {
            int(number): score * factors[int(number)] if score >= 0 else score / factors[int(number)]
            for number, score in zip(whole.ids, whole.scores, strict=True)
        }
        (found,) = index.rank(["apples and figs"], 12, mode, fusion=fusion, where=where, boosts=boosts, now=NOW)
        scores = found.scores[found.order]
        np.testing.assert_allclose(scores, sorted(expected.values(), reverse=True)[:12], rtol=1e-12)
        numbers = found.ids[found.order]
        np.testing.assert_allclose(scores, [expected[int(number)] for number in numbers], rtol=1e-12)


def test_reciprocal_ranks_are_boosted_too(index: Index) -> None:
    (plain,) = index.rank(["plums"], 20, fusion="rrf")
    (found,) = index.rank(["plums"], 5, fusion="rrf", boosts=[KOREAN])
    product = np.array([factor(index, int(number), KOREAN) for number in plain.ids])
    np.testing.assert_allclose(found.scores[found.order], np.sort(plain.scores * product)[::-1][:5], rtol=1e-12)


@pytest.mark.parametrize("boosts", BOOSTS)
@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_what_is_similar_is_boosted_too(index: Index, mode: str, boosts: list[str]) -> None:
    numbers = {index.snapshot.chunk(int(number)).chunk_id: int(number) for number in range(500)}
    examples = Examples(documents=("d1", "d2"), texts=("apples and figs",), unlike_documents=("d3",))
    expected = {
        hit.chunk_id: hit.score
        * math.prod(factor(index, numbers[hit.chunk_id], boost) ** math.copysign(1, hit.score) for boost in boosts)
        for hit in index.similar(examples, 500, mode, collapse=False)
    }
    for collapse in (False, True):
        hits = index.similar(examples, 9, mode, collapse=collapse, boosts=boosts, now=NOW)
        np.testing.assert_allclose(
            [hit.score for hit in hits], sorted(expected.values(), reverse=True)[:9], rtol=1e-12
        )
        np.testing.assert_allclose(
            [hit.score for hit in hits], [expected[hit.chunk_id] for hit in hits], rtol=1e-12
        )


def test_an_explanation_of_what_is_similar_names_boosts_and_words(index: Index) -> None:
    hits = index.similar(Examples(documents=("d1",)), 5, boosts=BOOSTS[-1], now=NOW, explain=True)
    for hit in hits:
        assert [one.boost for one in hit.boosts] == BOOSTS[-1]
        total = sum(leg.contribution or 0.0 for leg in hit.legs.values())
        product = math.prod(one.factor for one in hit.boosts)
        assert hit.score == pytest.approx(total * product if total >= 0 else total / product)
    words = {match.token for hit in hits for match in hit.matches}
    assert words
    assert words <= {"appl", "pear", "plum", "fig", "lime", "kiwi"} | set(WORDS)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("options", [{}, {"collapse": True}, {"distinct": 0.9}, {"rerank": "multivectors"}])
def test_the_first_hits_do_not_depend_on_how_many_are_asked_for(
    index: Index, mode: str, options: dict[str, Any]
) -> None:
    many = index.search_many(["apples", "figs 7"], 60, mode, boosts=BOOSTS[-1], now=NOW, **options)
    few = index.search_many(["apples", "figs 7"], 6, mode, boosts=BOOSTS[-1], now=NOW, **options)
    assert [hits[:6] for hits in many] == few
    assert index.search("apples", 6, mode, boosts=BOOSTS[-1], now=NOW, **options) == few[0]


def test_an_explanation_multiplies_to_the_score(index: Index) -> None:
    for rerank in (None, "multivectors"):
        for hit in index.search("pears", 8, boosts=BOOSTS[-1], now=NOW, explain=True, rerank=rerank):
            assert [one.boost for one in hit.boosts] == BOOSTS[-1]
            total = sum(leg.contribution or 0.0 for leg in hit.legs.values())
            product = math.prod(one.factor for one in hit.boosts)
            assert hit.score == pytest.approx(total * product if total >= 0 else total / product)
    assert all(hit.boosts == () for hit in index.search("pears", 8, boosts=BOOSTS[-1], now=NOW))


def test_configured_boosts_count_unless_a_search_says_otherwise(index: Index) -> None:
    settings = index.settings.model_copy(update={"boosts": [KOREAN]})
    with stub.open_index(index.path, encoder=stub.encoder(), settings=settings) as configured:
        assert configured.search("figs", 5) == index.search("figs", 5, boosts=[KOREAN])
        assert configured.search("figs", 5, boosts=[]) == index.search("figs", 5)
        assert [one.boost for one in configured.search("figs", 1, explain=True)[0].boosts] == [KOREAN]
        encoded = configured.encode(["figs"])
        assert configured.rank_encoded(encoded, 5)[0].boosts is None
        alike = Examples(documents=("d9",))
        assert configured.similar(alike, 5) == index.similar(alike, 5, boosts=[KOREAN])
        assert configured.similar(alike, 5, boosts=[]) == index.similar(alike, 5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"boosts": ["recency(updatd, 30d)"]}, "unknown field 'updatd'; did you mean 'updated'"),
        ({"boosts": ["recency(lang, 30d)"]}, "no value of `lang` is a date"),
        ({"boosts": ["saturation(lang, 3)"]}, "`lang` has texts; saturation needs numbers"),
        ({"boosts": ["1.5 if lng = 'ko'"]}, "boost \"1.5 if lng = 'ko'\": filter: "),
        ({"boosts": "recency(updated, 30d)"}, "give a list of boosts"),
        ({"boosts": [5]}, "give a list of boosts"),
        ({"now": datetime(2026, 1, 1)}, "with its time zone"),
    ],
)
def test_what_does_not_fit_is_refused(index: Index, given: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says.replace("(", r"\(")):
        index.search("figs", **given)


def test_a_request_keeps_the_moment_it_was_made_at(index: Index) -> None:
    request = SearchRequest.for_texts(index, ["figs"], boosts=[RECENCY])
    assert index.answer(request) == index.answer(request)
    assert request.now is not None
    assert abs((request.now - datetime.now(UTC)).total_seconds()) < 3600


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("2024", "2024-01-01T00:00:00+00:00"),
        ("2024-05", "2024-05-01T00:00:00+00:00"),
        ("2024-05-06", "2024-05-06T00:00:00+00:00"),
        ("2024-05-06T07:08:09+09:00", "2024-05-05T22:08:09+00:00"),
        (2024, "2024-01-01T00:00:00+00:00"),
        (86400, "1970-01-02T00:00:00+00:00"),
        (0.5, "1970-01-01T00:00:00.500000+00:00"),
        (1732665600, "2024-11-27T00:00:00+00:00"),
        (1732665600_000, "2024-11-27T00:00:00+00:00"),
        (1732665600_000_000.0, "2024-11-27T00:00:00+00:00"),
        (1732665600_000_000_000, "2024-11-27T00:00:00+00:00"),
        (-1732665600_000, "1915-02-05T00:00:00+00:00"),
    ],
)
def test_dates_are_read(value: object, iso: str) -> None:
    assert as_seconds(value) == datetime.fromisoformat(iso).timestamp()


@pytest.mark.parametrize("value", ["", "soon", "2024-13", "0000", None, True, ["2024"], "2024-02-30"])
def test_what_is_no_date_is_neutral(value: object) -> None:
    assert math.isnan(as_seconds(value))


FLOATS = st.floats(-1e6, 1e6)
FACTORS = st.floats(1 / 256, 256)


@given(FLOATS, FLOATS, FACTORS, FACTORS)
def test_a_boosted_score_grows_with_score_and_factor(one: float, other: float, low: float, high: float) -> None:
    scores, factors = sorted([one, other]), sorted([low, high])
    found = boosted(np.array(scores), np.array(factors))
    assert found[0] <= found[1]
