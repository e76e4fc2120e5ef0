"""An approximate lexical index proposes; scores, filters and what is missing are the exact leg's."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import FusionSettings
from pipeline.errors import CorruptIndexError, MissingDependencyError
from pipeline.index import manifest as manifests
from pipeline.index.choices import LexicalChoice
from pipeline.index.lexical import seismic, seismic_writer
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.lexical.search import SparseQuery
from pipeline.index.lexical.seismic import SEISMIC_FILE
from pipeline.index.segment import Segment
from pipeline.job import build as builder
from pipeline.query.legs.lexical import search_segment
from pipeline.query.searcher import open_index
from pipeline.records import SparseRows
from tests.index.learned import COUNT, QUERIES, VOCABULARY, Built, exact, learned_rows, write
from tests.models import tiny
from tests.support.collection import TEXTS, config_for, write_documents

pytest.importorskip("seismic")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    index, rows = tmp_path_factory.mktemp("seismic"), learned_rows()
    return Built(index, rows, write(index, rows))


@pytest.fixture
def segment(built: Built) -> Segment:
    return Segment(built.index, built.entry)


def forbid_reading(monkeypatch: pytest.MonkeyPatch, segment: Segment) -> None:
    """From here on the postings may score candidates but not search."""
    monkeypatch.setattr(segment.open(LEXICAL), "search", lambda *_: pytest.fail("read all postings"))


def dense_matrix(rows: SparseRows) -> np.ndarray:
    matrix = np.zeros((len(rows), len(VOCABULARY)))
    for i in range(len(rows)):
        token_ids, weights = rows.row(i)
        matrix[i, np.searchsorted(VOCABULARY, token_ids)] = weights
    return matrix


def test_the_recorded_recall_is_the_share_of_the_ten_best_rows_that_are_proposed(
    built: Built, segment: Segment
) -> None:
    """Recomputed by brute force in float64, on the rows that the docstring promises as queries."""
    parameters = built.entry.lexical
    assert parameters is not None
    assert parameters.recall >= 0.98
    matrix = dense_matrix(built.rows)
    index = seismic.SeismicIndex(segment.folder, parameters)
    shares = []
    for i in np.unique(np.linspace(0, COUNT - 1, 200).astype(int)):
        kept = np.argsort(-matrix[i], kind="stable")[:16]
        kept = np.sort(kept[matrix[i, kept] > 0])
        if not len(kept):
            continue
        scores = matrix[:, kept] @ matrix[i, kept]
        scores[i] = -1
        query = SparseQuery(VOCABULARY[kept], matrix[i, kept].astype(np.float32))
        found = index.candidates(segment.open(LEXICAL), query, 128, parameters.query_cut, parameters.heap_factor)
        shares.append(len(set(np.argsort(-scores)[:10].tolist()) & set(found.tolist())) / 10)
    assert np.mean(shares) == pytest.approx(parameters.recall, abs=2e-3)


def test_scores_are_the_bits_of_the_exact_leg(
    built: Built, segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [segment.open(LEXICAL).search(built.query(i), COUNT, None, None) for i in QUERIES]
    forbid_reading(monkeypatch, segment)
    shares = []
    for i, (all_ordinals, all_scores) in zip(QUERIES, expected, strict=True):
        ordinals, scores = search_segment(segment, built.query(i), 100, None, None)
        assert len(ordinals) >= 100
        bits = dict(zip(all_ordinals.tolist(), all_scores.view(np.uint32).tolist(), strict=True))
        assert [bits[o] for o in ordinals.tolist()] == scores.view(np.uint32).tolist()
        assert np.lexsort((ordinals, -scores)).tolist() == list(range(len(scores)))
        shares.append(len(set(ordinals[:10].tolist()) & set(all_ordinals[:10].tolist())) / 10)
    assert np.mean(shares) >= 0.95


def test_the_first_hits_do_not_depend_on_how_many_are_wanted(built: Built, segment: Segment) -> None:
    for i in QUERIES:
        full = search_segment(segment, built.query(i), 100, None, None)[0].tolist()
        for depth in (1, 10, 50):
            assert search_segment(segment, built.query(i), depth, None, None)[0].tolist() == full[:depth]


@pytest.mark.parametrize("kept", [0, 1, 7, 150, 749, 1500, 2700, COUNT - 1])
def test_a_filter_is_never_short_of_what_it_keeps(built: Built, segment: Segment, kept: int) -> None:
    mask = np.ones(COUNT, np.bool_)
    mask[np.random.default_rng(3).permutation(COUNT)[:kept]] = False
    for i in QUERIES:
        reference, _ = exact(segment, built.query(i), 20, mask)
        ordinals, scores = search_segment(segment, built.query(i), 20, mask, None)
        assert len(ordinals) >= min(20, len(reference))
        assert not mask[ordinals].any()
        assert scores.tobytes() == segment.open(LEXICAL).scores(built.query(i), ordinals, None).tobytes()
        if kept < COUNT // 4:
            assert ordinals.tolist() == reference


def test_a_filter_that_drops_all_candidates_is_served_by_the_postings(built: Built, segment: Segment) -> None:
    """It keeps most chunks, and none of those that any search for the query would propose first."""
    query = built.query(3)
    mask = np.zeros(COUNT, np.bool_)
    mask[segment.open(LEXICAL).search(query, 600, None, None)[0]] = True
    ordinals, scores = search_segment(segment, query, 50, mask, None)
    assert (ordinals.tolist(), scores.tobytes()) == exact(segment, query, 50, mask)
    assert len(ordinals) >= 50


def test_queries_that_match_little_or_nothing(built: Built, segment: Segment) -> None:
    unknown = np.setdiff1d(np.arange(1, 4, dtype=np.uint64), VOCABULARY)
    counts = segment.open(LEXICAL).document_frequencies(VOCABULARY, None)
    rare = VOCABULARY[[int(np.argmin(np.where(counts > 0, counts, COUNT)))]]
    for token_ids in (unknown, np.zeros(0, np.uint64), rare):
        query = SparseQuery(token_ids, np.ones(len(token_ids), np.float32))
        ordinals, scores = search_segment(segment, query, 100, None, None)
        assert (ordinals.tolist(), scores.tobytes()) == exact(segment, query, 100)


def test_bm25_never_asks_it(built: Built, segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.index.lexical.search import Saturation

    monkeypatch.setattr(seismic.SeismicIndex, "search", lambda *_: pytest.fail("asked"))
    saturation = Saturation(1.2, np.ones(COUNT, np.float32))
    assert len(search_segment(segment, built.query(3), 10, None, saturation)[0]) >= 10


def test_threads_load_it_once(built: Built, segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    meeting = threading.Barrier(4)
    library = seismic.library()

    class Counting:
        @staticmethod
        def load(path: str) -> Any:
            loads.append(path)
            return library.load(path)

    monkeypatch.setattr(seismic, "library", lambda: Counting)
    _ = segment.open(LEXICAL)

    def search(i: int) -> int:
        meeting.wait()
        return len(search_segment(segment, built.query(i), 100, None, None)[0])

    with ThreadPoolExecutor(4) as pool:
        assert min(pool.map(search, [3, 5, 7, 11])) >= 100
    assert loads == [str(segment.folder / SEISMIC_FILE)]


def test_without_the_package_the_exact_leg_answers(
    built: Built, segment: Segment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "seismic", None)
    seismic._warn_once.cache_clear()
    for i in QUERIES:
        ordinals, scores = search_segment(segment, built.query(i), 10, None, None)
        assert (ordinals.tolist(), scores.tobytes()) == exact(segment, built.query(i), 10)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "pip install 'hybrid-pipeline[seismic]'" in caplog.text
    with pytest.raises(MissingDependencyError, match="hybrid-pipeline"):
        seismic_writer.check(LexicalChoice("seismic"), "dot")
    seismic_writer.check(LexicalChoice("exact"), "bm25")


def test_a_file_of_another_version_is_not_loaded(
    built: Built, segment: Segment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The library's format has no version: reading another one could give anything."""
    monkeypatch.setattr(seismic, "version", lambda: "0.5.99")
    monkeypatch.setattr(seismic.SeismicIndex, "_load", lambda *_: pytest.fail("loaded"))
    seismic._warn_once.cache_clear()
    ordinals, scores = search_segment(segment, built.query(3), 10, None, None)
    assert (ordinals.tolist(), scores.tobytes()) == exact(segment, built.query(3), 10)
    assert "0.5.99 is installed; `pipeline repair` rebuilds it" in caplog.text


class PanicException(BaseException):
    """Of the name and the base that a panic has."""


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (OSError("bad"), CorruptIndexError),
        (PanicException("index out of bounds"), CorruptIndexError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SystemExit(3), SystemExit),
    ],
)
@pytest.mark.parametrize("where", ["load", "search"])
def test_panics_are_translated_and_interrupts_get_through(
    built: Built, segment: Segment, monkeypatch: pytest.MonkeyPatch, raised: BaseException, seen: type, where: str
) -> None:
    class Fake:
        len, dim = COUNT, len(segment.open(LEXICAL).vocabulary())

        @classmethod
        def load(cls, _: str) -> Fake:
            if where == "load":
                raise raised
            return cls()

        def search(self, *_: object) -> None:
            raise raised

    monkeypatch.setattr(seismic, "library", lambda: Fake)
    with pytest.raises(seen):
        search_segment(segment, built.query(3), 10, None, None)


def test_a_build_with_the_lexical_weights_of_bge_m3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seismic, "_DEEP", 0)
    tiny.save_bge_m3(tmp_path / "m3")
    write_documents(tmp_path / "documents", TEXTS | {"tiny.txt": " ".join(tiny.SENTENCES)})
    for kind in ("exact", "seismic"):
        config = config_for(
            tmp_path,
            index=kind,
            encoder={"model": "m3"},
            chunking={"max_tokens": 8, "overlap_tokens": 0},
            segments={"lexical": kind},
        )
        builder.build(config)
    (entry,) = manifests.load(config.index_path, 1).segments
    assert entry.lexical is not None
    assert entry.lexical.recall >= 0.98
    questions: list[int] = []
    original = seismic.SeismicIndex.candidates

    def candidates(self: seismic.SeismicIndex, *arguments: Any) -> Any:
        found = original(self, *arguments)
        questions.append(len(found))
        return found

    monkeypatch.setattr(seismic.SeismicIndex, "candidates", candidates)
    for mode in ("lexical", "hybrid"):
        hits = []
        for kind in ("exact", "seismic"):
            with open_index(tmp_path / kind, base=tmp_path) as opened:
                opened.settings = opened.settings.model_copy(update={"depth": 5})
                found = opened.search(tiny.QUERY, 5, mode, fusion=FusionSettings(method="minmax"))
            hits.append([(hit.chunk_id, hit.score) for hit in found])
        assert hits[0] == hits[1]
        assert len(hits[0]) == 5
    assert questions
