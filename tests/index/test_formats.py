"""Indexes of every published format open, verify, search as they did, and take a build."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config, FusionSettings, parse_config
from pipeline.index import manifest as manifests
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.verify import verify
from pipeline.job import build as builder
from pipeline.query.legs.contract import EncodedQueries
from pipeline.query.searcher import Index, open_index
from pipeline.records import SparseRows

FORMATS = sorted(Path(__file__).parent.glob("format_*"))


@pytest.fixture(params=FORMATS, ids=lambda folder: str(folder.name))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder: Path = tmp_path / "copy"
    shutil.copytree(request.param, folder)
    return folder


def config_of(folder: Path) -> Config:
    return parse_config({"index": "index", "sources": [{"path": "documents"}]}, base=folder)


def found(index: Index, folder: Path) -> dict[str, Any]:
    """Hits and scores by the vectors that were kept; terms are analysed anew."""
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    encoded = dataclasses.replace(index.encode(expected["queries"]), dense=np.load(folder / "queries.npy"))
    one_by_one = [_only(encoded, row) for row in range(len(encoded.texts))]
    return {legs: [_scored(index, query, legs.split("+")) for query in one_by_one] for legs in expected["hits"]}


def _only(encoded: EncodedQueries, row: int) -> EncodedQueries:
    assert encoded.dense is not None
    assert encoded.lexical is not None
    token_ids, weights = encoded.lexical.row(row)
    lexical = SparseRows.from_dicts([dict(zip(token_ids.tolist(), weights.tolist(), strict=True))])
    return EncodedQueries(
        (encoded.texts[row],), encoded.dense[row : row + 1], lexical, None, (encoded.scripts[row],)
    )


def _scored(index: Index, query: EncodedQueries, legs: list[str]) -> list[list[Any]]:
    """Chunks and scores, fused as `auto` was when the index was built: by the weights that its manifest keeps."""
    scale, fusion = 1.0, FusionSettings(method="theoretical")
    calibration = index.manifest.statistics.calibration
    if calibration is not None and (kept := calibration["scripts"].get(query.scripts[0])):
        weights = {leg: kept["weights"][leg] / kept["units"][leg] for leg in legs}
        scale, fusion = sum(weights.values()), FusionSettings(method="weighted", weights=weights)
    (ranked,) = index.rank_encoded(query, 5, legs, fusion=fusion)
    scale = scale if len(legs) > 1 else 1.0
    return [
        [index.snapshot.chunk(int(ranked.ids[place])).chunk_id, float(ranked.scores[place]) * scale]
        for place in ranked.order
    ]


def test_it_opens_verifies_and_gives_the_same_hits_and_scores(kept: Path) -> None:
    assert verify(kept / "index", deep=True).problems == ()
    expected = json.loads((kept / "expected.json").read_text("utf-8"))["hits"]
    with open_index(kept / "index") as index:
        now = found(index, kept)
    assert now.keys() == expected.keys() == {"dense", "lexical", "dense+lexical"}
    for legs, rankings in expected.items():
        for ranking, before in zip(now[legs], rankings, strict=True):
            assert [chunk_id for chunk_id, _ in ranking] == [chunk_id for chunk_id, _ in before]
            # Sums in float64 may round differently where NumPy has other vector instructions.
            assert [score for _, score in ranking] == pytest.approx([score for _, score in before], rel=1e-6)
    with open_index(kept / "index", generation=1) as first:
        assert any(hit.doc_id == "en/old.md" for hit in first.search("an old page", 3))


def test_its_manifests_are_written_again_as_they_are(kept: Path, tmp_path: Path) -> None:
    for number in manifests.generations(kept / "index"):
        manifests.publish(tmp_path, manifests.load(kept / "index", number))
        path = manifests.manifest_path(tmp_path, number)
        assert path.read_bytes() == manifests.manifest_path(kept / "index", number).read_bytes()


def test_it_takes_a_build(kept: Path) -> None:
    (kept / "documents/en/later.md").write_text("# Later\n\nA page of the third build about quagmires.")
    before = {path.name for path in (kept / "index/segments").iterdir()}
    report = builder.build(config_of(kept))
    assert (report.added, report.changed, report.deleted) == (1, 0, 0)
    assert before < {path.name for path in (kept / "index/segments").iterdir()}, "what was built is kept"
    assert verify(kept / "index", deep=True).problems == ()
    with open_index(kept / "index") as index:
        assert index.search("quagmires", 1)[0].doc_id == "en/later.md"
        assert index.manifest.chunks == 8
    compact(kept / "index")
    assert verify(kept / "index", deep=True).problems == ()
    with open_index(kept / "index") as index:
        assert len(index.manifest.segments) == 1, "old and new segments become one"
        assert index.search("quagmires", 1)[0].doc_id == "en/later.md"
