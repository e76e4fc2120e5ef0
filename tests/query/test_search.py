"""What a search promises, on a whole index."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import FusionSettings, QuerySettings
from pipeline.errors import QueryError
from pipeline.job import build as builder
from pipeline.query.fusion.methods import METHODS
from pipeline.query.ranking import EncodedQueries
from pipeline.query.searcher import Index, open_index
from pipeline.records import Hit, SparseRows
from tests.support.collection import config_for, write_documents

WORDS = [
    "index",
    "segment",
    "manifest",
    "vector",
    "token",
    "query",
    "rank",
    "fusion",
    "leg",
    "chunk",
    "score",
    "build",
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(0)
    texts = {f"{i:03}.txt": " ".join(rng.choice(WORDS, 12)) for i in range(300)}
    texts |= {f"same-{i:02}.txt": "the very same words in many documents" for i in range(40)}
    texts["ko.txt"] = "검색 결과를 합치는 방법을 설명합니다"
    write_documents(folder / "documents", texts)
    config = config_for(folder, encode={"shard_chunks": 64}, segments={"max_chunks": 100, "dense": "auto"})
    builder.build(config)
    return open_index(config.index_path)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_the_first_hits_do_not_depend_on_k(index: Index, method: str, mode: str) -> None:
    fusion = FusionSettings(method=method)
    for text in ("fusion of a query", "the very same words", "검색 결과"):
        full = index.search(text, 341, mode, fusion=fusion)
        for k in (1, 10, 250):
            assert index.search(text, k, mode, fusion=fusion) == full[:k]


def test_threads_share_the_model_and_the_tokenizer(index: Index) -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(WORDS, 3)) for _ in range(60)]

    def ask(text: str) -> list[Hit]:
        return index.search(text, 5, explain=True, where="source like '%1%'", context=1)

    alone = [ask(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, texts)) == alone


def test_ties_break_by_chunk_id(index: Index) -> None:
    hits = index.search("the very same words in many documents", 40)
    assert [hit.chunk_id for hit in hits] == [f"same-{i:02}.txt#0" for i in range(40)]
    assert len({hit.score for hit in hits}) == 1


def test_many_at_once_equal_one_by_one(index: Index) -> None:
    texts = ["rank fusion", "검색", "manifest of a segment", "zzz"]
    together = index.search_many(texts, 5)
    for text, hits in zip(texts, together, strict=True):
        alone = index.search(text, 5)
        assert [h.chunk_id for h in alone] == [h.chunk_id for h in hits]
        assert [h.score for h in alone] == pytest.approx([h.score for h in hits], abs=1e-4)


@pytest.mark.parametrize("where", [None, "doc_id < '150'"])
def test_a_batch_ranks_as_one_at_a_time_does(index: Index, where: str | None) -> None:
    """Batches are scored by matrix products and shared among threads; scores are the same bits all the same."""
    texts = [f"{WORDS[i % 12]} of a {WORDS[-i % 7]}" for i in range(20)] + ["the very same words in many documents"]
    together = index.encode(texts)
    assert together.dense is not None
    assert together.lexical is not None
    for i, ranked in enumerate(index.rank_encoded(together, 30, where=where)):
        lexical = SparseRows.from_dicts(
            [dict(zip(*(part.tolist() for part in together.lexical.row(i)), strict=True))]
        )
        one = EncodedQueries((texts[i],), together.dense[i : i + 1], lexical, None, (together.scripts[i],))
        (alone,) = index.rank_encoded(one, 30, where=where)
        assert alone.ids[alone.order].tolist() == ranked.ids[ranked.order].tolist()
        assert alone.scores[alone.order].tolist() == ranked.scores[ranked.order].tolist()


def test_components_are_exact_and_absence_is_not_zero(index: Index) -> None:
    for hit in index.search("vector score", 341):
        assert hit.dense is not None
        assert hit.lexical is not None
    lexical = index.search("vector score", 20, "lexical")
    assert all(hit.dense is None for hit in lexical)
    by_id = {hit.chunk_id: hit for hit in index.search("vector score", 341)}
    assert all(by_id[hit.chunk_id].lexical == hit.lexical for hit in lexical)


def test_lexical_query_without_a_known_word_finds_nothing(index: Index) -> None:
    assert index.search("xyzzy", mode="lexical") == []
    assert len(index.search("xyzzy", 3)) == 3


@pytest.mark.parametrize("method", METHODS)
def test_an_explanation_adds_up(index: Index, method: str) -> None:
    fusion = FusionSettings(method=method, weights={"dense": 2.0})
    for hit in index.search("ranking of segments", 30, fusion=fusion, explain=True):
        parts = [leg.contribution for leg in hit.legs.values() if leg.contribution is not None]
        assert sum(parts) == pytest.approx(hit.score)
        for leg in hit.legs.values():
            assert leg.normalized is not None
            assert leg.weight is not None
            assert leg.normalized * leg.weight == pytest.approx(leg.contribution)
        assert hit.lexical is not None
        assert sum(match.contribution for match in hit.matches) == pytest.approx(hit.lexical.score, rel=1e-5)
        assert {match.token for match in hit.matches} <= {"rank", "of", "segment"}
    plain = index.search("ranking of segments", 30, fusion=fusion)
    assert all(hit.matches == () for hit in plain)
    alone = index.search("ranking of segments", 3, "lexical", explain=True)
    assert all(hit.legs["lexical"].contribution == hit.score for hit in alone)


def test_more_than_there_is(index: Index) -> None:
    assert len(index.search("anything", 10_000)) == 341


def test_collapse_keeps_the_best_chunk_of_each_document(index: Index) -> None:
    plain = index.search("token rank", 341)
    best: dict[str, str] = {}
    for hit in plain:
        best.setdefault(hit.doc_id, hit.chunk_id)
    collapsed = index.search("token rank", 20, collapse=True)
    assert [hit.chunk_id for hit in collapsed] == list(best.values())[:20]


def test_refused_questions(index: Index) -> None:
    with pytest.raises(QueryError, match="k=0"):
        index.search("a", 0)
    with pytest.raises(QueryError, match="empty"):
        index.search("  \n")
    with pytest.raises(QueryError, match="query 2 is empty"):
        index.search_many(["a", ""])
    with pytest.raises(QueryError, match="unknown mode 'both'"):
        index.search("a", mode="both")
    with pytest.raises(QueryError, match="all zero"):
        index.search("a", fusion=FusionSettings(weights={"dense": 0.0, "lexical": 0.0}))
    assert index.search_many([]) == []


@pytest.mark.parametrize(
    ("texts", "k", "says"),
    [
        ("one text", 3, "search_many takes a list of queries, not str"),
        (None, 3, "takes a list of queries, not NoneType"),
        ([None], 3, "text=None: give a query as str, not NoneType"),
        (["a", 7], 3, r"texts\[1\]=7: give a query as str, not int"),
        (["a"], 2.5, r"k=2\.5: give a whole number"),
        (["a"], True, "k=True: give a whole number"),
    ],
)
def test_what_is_no_question(index: Index, texts: Any, k: Any, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        index.search_many(texts, k)


def test_a_fusion_by_name_is_that_of_the_command_line(index: Index) -> None:
    named = index.search("rank fusion", 5, fusion="rrf")
    assert named == index.search("rank fusion", 5, fusion=FusionSettings(method="rrf"))
    with pytest.raises(QueryError, match="unknown fusion 'rff'; did you mean 'rrf'"):
        index.search("rank fusion", fusion="rff")


def test_a_closed_index_answers_no_more(index: Index) -> None:
    with open_index(index.path) as other:
        assert other.search("rank", 1)
    for ask in (lambda: other.search("rank", 1), lambda: other.encode(["rank"])):
        with pytest.raises(QueryError, match="this index was closed; open it again"):
            ask()
    assert index.search("rank", 1)


def test_depth_changes_only_what_is_fused(index: Index) -> None:
    shallow = open_index(index.path, settings=QuerySettings(depth=5))
    legs = {hit.chunk_id: hit.legs for hit in index.search("segment build", 341)}
    for hit in shallow.search("segment build", 10):
        assert hit.dense is not None
        assert hit.dense.score == legs[hit.chunk_id]["dense"].score
    shallow.close()


def test_an_index_folder_can_be_copied(index: Index, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(index.path, tmp_path / "copy")
    with open_index(tmp_path / "copy") as copy:
        assert copy.search("rank") == index.search("rank")
