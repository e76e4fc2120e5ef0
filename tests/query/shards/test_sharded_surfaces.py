"""Boosts, groups, sections, near words and all else that a search may be asked for: over shards as in the whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config, QuerySettings
from pipeline.config.boosts import Conditional
from pipeline.errors import ConfigError, QueryError
from pipeline.query.legs import registry
from pipeline.query.legs.dense import DenseLeg
from pipeline.query.searcher import Index
from pipeline.query.shards.sharded import open_shards
from pipeline.query.similar import Examples
from pipeline.records import Chunk, Document, Fingerprint
from tests.faults import stub
from tests.support.sharded import front, near_shards
from tests.support.sharded_nights import CONDITIONS, METHODS, QUERY, WORDS, Night, built, nights, outcome

NOW = datetime(2026, 11, 1, tzinfo=UTC)
BOOSTS = (
    "recency(year, 30d)",
    "recency(lang, 30d)",
    "recency(nothing, 1d)",
    "saturation(ordinal, 2)",
    "saturation(year, 2)",
    "2 if lang = 'ko'",
    "0.5 if ordinal = 0",
    "1.3 if nothing = 1",
)
TOGETHER: list[dict[str, Any]] = [
    {},
    {"collapse": True},
    {"merge": True},
    {"group": "doc_id", "group_size": 1},
    {"group": "doc_id", "group_size": 3},
]


class Sections:
    """A chunker that cuts a text every 12 characters, three chunks under a heading."""

    fingerprint = Fingerprint.of(kind="sections")

    def chunk(self, document: Document) -> Iterator[Chunk]:
        size = len(document.text)
        for number, start in enumerate(range(0, size, 10)):
            end = min(start + 12, size)
            yield Chunk(
                f"{document.doc_id}#{number}",
                document.doc_id,
                number,
                start,
                end,
                document.text[start:end],
                (f"part {number // 3}",),
                document.metadata,
            )


def said(ask: Callable[[], Any]) -> object:
    """What an index answers, or why it does not."""
    try:
        return ask()
    except QueryError as error:
        return str(error)


@settings(max_examples=8, deadline=None)
@given(
    nights=nights(),
    shards=st.integers(2, 4),
    is_cut=st.booleans(),
    queries=st.lists(QUERY, min_size=1, max_size=2),
    depth=st.sampled_from([1, 4, 100]),
    searches=st.lists(
        st.fixed_dictionaries(
            {
                "k": st.sampled_from([1, 4, 50]),
                "mode": st.sampled_from(["hybrid", "dense", "lexical"]),
                "fusion": st.sampled_from(METHODS),
                "where": st.sampled_from(CONDITIONS),
                "explain": st.booleans(),
                "context": st.sampled_from([0, 1]),
                "highlights": st.booleans(),
                "rerank": st.sampled_from([None, "multivectors"]),
                "boosts": st.lists(st.sampled_from(BOOSTS), max_size=3),
                "together": st.sampled_from(TOGETHER),
            }
        ),
        min_size=6,
        max_size=10,
    ),
)
def test_what_a_search_may_be_asked_for_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    nights: list[Night],
    shards: int,
    is_cut: bool,
    queries: list[str],
    depth: int,
    searches: list[dict[str, Any]],
) -> None:
    config = built(tmp_path_factory.mktemp("surfaces"), nights, chunker=Sections() if is_cut else None)
    chosen = QuerySettings(depth=depth)
    sharded, _ = front(config.index_path, shards, settings=chosen)
    with stub.open_index(config.index_path, settings=chosen) as whole, sharded:
        for search in searches:
            options = {name: value for name, value in search.items() if name != "together"}
            options |= search["together"] | {"now": NOW}
            assert outcome(sharded, queries, options) == outcome(whole, queries, options)


@settings(max_examples=10, deadline=None)
@given(
    nights=nights(),
    shards=st.integers(2, 4),
    words=st.lists(
        st.sampled_from(["kiwy", "plmu", "fgi", "limes", "pera", "mango", "mangoes", "섹인", "검섹"]), max_size=4
    ),
)
def test_near_words_are_those_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, nights: list[Night], shards: int, words: list[str]
) -> None:
    config = built(tmp_path_factory.mktemp("near"), nights)
    sharded, _ = front(config.index_path, shards)
    with stub.open_index(config.index_path) as whole, sharded:
        text = " ".join(["kiwi", *words])
        assert sharded.suggestions(text) == whole.suggestions(text)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    docs: Night = {
        number: (f"{WORDS[number % 8]} {WORDS[number * 5 % 7]}", 2000 + number, "ko" if number % 3 else None)
        for number in range(30)
    }
    later = {number: found for number, found in docs.items() if number % 5}
    return built(tmp_path, [docs, later])


def both(config: Config, shards: int = 3) -> tuple[Index, Index]:
    return front(config.index_path, shards)[0], stub.open_index(config.index_path)


def test_a_slip_is_found_in_whichever_shard_has_the_word(config: Config) -> None:
    sharded, whole = both(config)
    with sharded, whole:
        assert whole.suggestions("kiwii mangoo")
        assert sharded.suggestions("kiwii mangoo") == whole.suggestions("kiwii mangoo")


def test_boosts_lift_over_shards_what_they_lift_at_home(config: Config) -> None:
    sharded, whole = both(config)
    with sharded, whole:
        for boosts in (["recency(year, 365d)"], ["saturation(year, 10)", "2 if lang = 'ko'"]):
            options = {"boosts": boosts, "now": NOW, "k": 5, "explain": True}
            found = outcome(sharded, ["kiwi plum"], options)
            assert found == outcome(whole, ["kiwi plum"], options)
            assert found != outcome(sharded, ["kiwi plum"], {"k": 5, "explain": True})


def test_a_boost_given_as_a_record_travels_as_it_is(config: Config) -> None:
    sharded, whole = both(config)
    with sharded, whole:
        options = {"boosts": [Conditional("of my own", 2.0, "lang = 'ko'")], "now": NOW, "k": 5, "explain": True}
        assert outcome(sharded, ["kiwi"], options) == outcome(whole, ["kiwi"], options)


def test_numbers_encoded_queries_examples_and_passages(config: Config) -> None:
    sharded, whole = both(config)
    vectors = np.roll(whole.encode(["kiwi plum"]).dense, 1, axis=1)  # type: ignore[arg-type]
    asks: Sequence[Callable[[Index], Any]] = (
        lambda index: [
            (one.ids.tolist(), one.order.tolist(), one.scores.tolist()) for one in index.rank(["kiwi", "fig"])
        ],
        lambda index: index.search_encoded(index.encode(["kiwi plum", "fig"]), 5, where="year > 2003"),
        lambda index: index.search_encoded(dataclasses.replace(index.encode(["kiwi plum"]), dense=vectors), 5),
        lambda index: index.rerank("kiwi", ["kiwi", "plum"], "multivectors").tolist(),
        lambda index: index.similar(
            Examples(texts=("kiwi fig",), unlike_documents=("01",)), 5, where="year > 2003"
        ),
        lambda index: index.similar(Examples(documents=("01", "02")), 5, "lexical", collapse=False, context=1),
        lambda index: index.similar(Examples(documents=("nowhere",))),
        lambda index: index.facets(["lang", "year"], "year > 2010", 3),
        lambda index: index.facets(["nothing"]),
        lambda index: index.search("kiwi", where="nothing = 1"),
    )
    with sharded, whole:
        for ask in asks:
            assert said(lambda: ask(sharded)) == said(lambda: ask(whole))  # noqa: B023


def test_what_reads_segments_is_refused(config: Config) -> None:
    sharded, _ = front(config.index_path, 2)
    with sharded, pytest.raises(QueryError, match=r"its shards have; open the folder of the index"):
        _ = sharded.snapshot.segments


def test_a_leg_that_the_program_added_is_refused(config: Config) -> None:
    shards = near_shards(config.index_path, 2)
    for opener in (DenseLeg, lambda snapshot: DenseLeg(snapshot) if snapshot.segments else None):
        registry.register("letters", opener)
        try:
            with pytest.raises(ConfigError, match="added the leg letters, which shards do not search") as refused:
                open_shards(shards, encoder=stub.encoder())
            cures = ("open the folder of the index", "`pipeline.query.legs.registry.unregister`")
            assert all(cure in str(refused.value) for cure in cures)
        finally:
            registry.unregister("letters")
    registry.register("letters", lambda snapshot: None)
    try:
        assert open_shards(shards, encoder=stub.encoder()).search("kiwi")
    finally:
        registry.unregister("letters")
