"""Where a leg finds only most of the best, asking for more hits still never changes the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from pipeline.config import FusionSettings, QuerySettings
from pipeline.job import build as builder
from pipeline.query.legs.contract import Leg
from pipeline.query.legs.lexical import LexicalLeg
from pipeline.query.ranking import WIDER
from pipeline.query.searcher import Index, open_index
from pipeline.query.snapshot import Ranking
from tests.query.test_search import WORDS
from tests.support.collection import config_for, write_documents

DEPTH = 20


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("approximate")
    rng = np.random.default_rng(0)
    write_documents(folder / "documents", {f"{i:03}.txt": " ".join(rng.choice(WORDS, 12)) for i in range(300)})
    config = config_for(folder, segments={"dense": "HNSW4", "recall_target": 0.5})
    builder.build(config)
    with open_index(config.index_path, settings=QuerySettings(depth=DEPTH)) as index:
        yield index


@pytest.mark.parametrize("method", ["auto", "minmax", "rrf"])
@pytest.mark.parametrize("mode", ["hybrid", "dense"])
def test_the_first_hits_do_not_depend_on_k(index: Index, method: str, mode: str) -> None:
    fusion = FusionSettings(method=method)
    for text in ("fusion of a query", "manifest token score build", "leg rank"):
        full = index.search(text, 300, mode, fusion=fusion)
        assert len({hit.chunk_id for hit in full}) == 300
        for k in (1, 10, DEPTH, 60, 200):
            assert index.search(text, k, mode, fusion=fusion) == full[:k]
        documents = index.search(text, 300, mode, fusion=fusion, collapse=True)
        assert index.search(text, 10, mode, fusion=fusion, collapse=True) == documents[:10]


@pytest.mark.parametrize("leg", ["dense", "lexical"])
def test_a_search_that_finds_others_each_time_adds_to_the_end(
    index: Index, leg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    kind = type(index.leg(leg))
    search = kind.candidates

    def shifting(own: Leg[Any], queries: Sequence[Any], depth: int, kept: object = None) -> list[Ranking]:
        asked.append(depth)
        return [Ranking(one.ids[len(asked) :], one.scores[len(asked) :]) for one in search(own, queries, 300)]

    monkeypatch.setattr(kind, "candidates", shifting)
    monkeypatch.setattr(kind, "is_exact", False)
    first = index.search("leg rank", DEPTH, leg)
    asked.clear()
    assert index.search("leg rank", 100, leg)[:DEPTH] == first
    assert asked == [DEPTH, DEPTH * WIDER, DEPTH * WIDER**2]


def test_an_exact_leg_is_searched_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    search = LexicalLeg.candidates

    def counted(own: LexicalLeg, queries: Sequence[Any], depth: int, kept: object = None) -> list[Ranking]:
        asked.append(depth)
        return search(own, queries, depth)

    monkeypatch.setattr(LexicalLeg, "candidates", counted)
    index.search("leg rank", 100)
    assert asked == [100]


def test_the_snapshot_knows_which_leg_is_approximate(index: Index) -> None:
    assert not index.leg("dense").is_exact
    assert index.leg("lexical").is_exact
