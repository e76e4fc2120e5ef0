"""Scores of BGE-M3's three outputs, and of their mixtures, against FlagEmbedding's own functions.

The models are tiny and random, the code under test on both sides is the real one. Arithmetic is fp32 throughout, so
1e-4 is the tolerance, except where vectors went through storage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from pipeline.config import EncoderSettings
from pipeline.index.multivector.search import (
    MULTIVECTOR_FILE,
    MultiVectorIndex,
    Precision,
    late_interaction,
    to_batch,
    write,
)
from pipeline.models.choose.encoder import load_encoder
from pipeline.query.fusion.methods import LegColumn, fuse
from pipeline.records import Encoded, Float32, MultiVectors

PASSAGES = [
    *tiny.SENTENCES,
    "LangChain LangChain LangChain, and LangChain",  # repeated tokens: the maximum counts, once
    "😀 <unk> </s> <s>",  # special tokens written out
    "",
    "LangChain은 애플리케이션을 " * 400,  # more than compute_score's 512 tokens
]
QUERIES = [tiny.QUERY, "LangChain LangChain", "large language models <s>"]
PAIRS = [(query, passage) for query in QUERIES for passage in PASSAGES]
MODES = {
    "dense": ("dense",),
    "sparse": ("lexical",),
    "colbert": ("multivector",),
    "sparse+dense": ("dense", "lexical"),
    "colbert+sparse+dense": ("dense", "lexical", "multivector"),
}
LIMIT = 512
"""Where `compute_score` cuts queries and passages by default."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-m3"
    tiny.save_bge_m3(folder)
    return folder


@pytest.fixture(scope="module")
def library(folder: Path) -> Any:
    from FlagEmbedding import BGEM3FlagModel

    return BGEM3FlagModel(str(folder), use_fp16=False, devices=["cpu"])


@pytest.fixture(scope="module", params=["openvino", "torch"])
def encoded(folder: Path, request: pytest.FixtureRequest) -> tuple[Encoded, Encoded]:
    """Queries and passages through one of our runtimes."""
    settings: dict[str, Any] = {"model": str(folder), "runtime": request.param, "max_tokens": LIMIT}
    encoder = load_encoder(EncoderSettings(device="cpu", precision="f32", multivectors=True, **settings))
    return encoder.encode_queries(QUERIES), encoder.encode_documents(PASSAGES)


@pytest.fixture(scope="module")
def reference(library: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same through FlagEmbedding's encode."""
    outputs = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True, "max_length": LIMIT}
    return library.encode(QUERIES, **outputs), library.encode(PASSAGES, **outputs)


def tokens(rows: MultiVectors | None, i: int) -> Float32:
    assert rows is not None
    return rows.vectors[rows.offsets[i] : rows.offsets[i + 1]]


def dot(queries: Encoded, i: int, passages: Encoded, j: int) -> float:
    assert queries.lexical is not None
    assert passages.lexical is not None
    (a, v), (b, w) = queries.lexical.row(i), passages.lexical.row(j)
    _, mine, theirs = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    return float(v[mine] @ w[theirs])


def components(queries: Encoded, passages: Encoded) -> dict[str, np.ndarray]:
    """Every leg's scores of `PAIRS`, in their order."""
    assert queries.dense is not None
    assert passages.dense is not None
    assert passages.multivectors is not None
    pairs = [(i, j) for i in range(len(QUERIES)) for j in range(len(PASSAGES))]
    late = [late_interaction(tokens(queries.multivectors, i), passages.multivectors) for i in range(len(QUERIES))]
    return {
        "dense": (queries.dense @ passages.dense.T).ravel(),
        "lexical": np.array([dot(queries, i, passages, j) for i, j in pairs]),
        "multivector": np.concatenate(late),
    }


def mixed(scores: dict[str, np.ndarray], legs: tuple[str, ...], weights: dict[str, float]) -> np.ndarray:
    """Our own `weighted` fusion of these legs."""
    ranks = np.arange(1, 1 + len(scores["dense"]))
    columns = [LegColumn(leg, scores[leg].astype(np.float64), ranks, 1.0, 0.0) for leg in legs]
    return fuse("weighted", columns, weights).scores


def test_lexical_matching_score(library: Any, encoded: tuple[Encoded, Encoded], reference: Any) -> None:
    theirs = library.compute_lexical_matching_score(*(side["lexical_weights"] for side in reference))
    np.testing.assert_allclose(components(*encoded)["lexical"], theirs.ravel(), atol=1e-4)
    assert (theirs[:, PASSAGES.index("")] == 0).all()
    assert (theirs[:, : len(tiny.SENTENCES)] > 0).any()


def test_a_repeated_token_counts_once(encoded: tuple[Encoded, Encoded]) -> None:
    rows = encoded[1].lexical
    assert rows is not None
    ids, weights = rows.row(PASSAGES.index("LangChain LangChain LangChain, and LangChain"))
    assert len(set(ids.tolist())) == len(ids)
    assert dot(encoded[1], 5, encoded[1], 5) == pytest.approx(float((weights**2).sum()), abs=1e-4)


def test_colbert_score(library: Any, encoded: tuple[Encoded, Encoded], reference: Any) -> None:
    queries, passages = (side["colbert_vecs"] for side in reference)
    theirs = [float(library.colbert_score(query, passage)) for query in queries for passage in passages]
    np.testing.assert_allclose(components(*encoded)["multivector"], theirs, atol=1e-4)
    assert len(tokens(encoded[1].multivectors, len(PASSAGES) - 1)) == LIMIT - 1  # cut, and no vector for cls


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 1e-3), ("int8", 1e-2)])
def test_colbert_score_of_stored_vectors(
    library: Any,
    encoded: tuple[Encoded, Encoded],
    reference: Any,
    tmp_path: Path,
    precision: Precision,
    tolerance: float,
) -> None:
    """A code is off by at most half a step: 1/2048 of a value in fp16, 1/254 of the largest value in int8.

    Errors of a vector's dimensions partly cancel, so a cosine moves by less than the worst case; the tolerances
    stated here are for 32 dimensions, and more dimensions average better.
    """
    queries, passages = encoded
    assert passages.multivectors is not None
    write(tmp_path / MULTIVECTOR_FILE, [to_batch(passages.multivectors, precision)])
    stored = MultiVectorIndex(tmp_path, len(PASSAGES)).vectors(range(len(PASSAGES)))
    for i, query in enumerate(reference[0]["colbert_vecs"]):
        theirs = [float(library.colbert_score(query, passage)) for passage in reference[1]["colbert_vecs"]]
        mine = late_interaction(tokens(queries.multivectors, i), stored)
        np.testing.assert_allclose(mine, theirs, atol=tolerance)


@pytest.mark.parametrize("weights", [None, [0.4, 0.2, 0.4], [1.0, 0.3, 1.0], [0.2, 0.8, 0.0]])
def test_compute_score_in_all_its_modes(
    library: Any, encoded: tuple[Encoded, Encoded], weights: list[float] | None
) -> None:
    # One pair a batch: in a longer one, padding tokens of a passage are zero vectors that can win its maximum.
    theirs = library.compute_score(
        PAIRS, batch_size=1, max_passage_length=LIMIT, weights_for_different_modes=weights
    )
    scores = components(*encoded)
    by_leg = dict(zip(("dense", "lexical", "multivector"), weights or [1.0, 1.0, 1.0], strict=True))
    assert set(theirs) == set(MODES)
    for mode, legs in MODES.items():
        mine = scores[legs[0]] if len(legs) == 1 else mixed(scores, legs, by_leg)
        np.testing.assert_allclose(mine, theirs[mode], atol=1e-4, err_msg=mode)


def test_the_weights_of_the_worked_example_in_the_readme() -> None:
    """Pair 1 of FlagEmbedding's README, with [0.4, 0.2, 0.4] for dense, sparse, colbert."""
    published = {"dense": 0.62598, "lexical": 0.19556, "multivector": 0.77965}
    scores = {leg: np.array([score]) for leg, score in published.items()}
    weights = {"dense": 0.4, "lexical": 0.2, "multivector": 0.4}
    assert mixed(scores, MODES["sparse+dense"], weights)[0] == pytest.approx(0.48250, abs=1e-4)
    assert mixed(scores, MODES["colbert+sparse+dense"], weights)[0] == pytest.approx(0.60136, abs=1e-4)
