"""BGE-M3 in full: dense vectors, lexical weights and multi-vectors from one pass over the texts.

    python examples/bge_m3.py [--model FOLDER] [--device cuda] [--runtime flagembedding]

Downloads BAAI/bge-m3 (2.3 GB) into the hub's cache unless it is there, or `--model` names a folder with its layout.
On a CPU the first run also converts it for OpenVINO, into ~/.cache/hybrid-pipeline; `--runtime torch` does not, and
`--runtime flagembedding` runs the library's own code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tutorial import QUERY, TEXTS, Ranking, arguments, dense_ranking

from pipeline.config import EncoderSettings
from pipeline.index.multivector.search import late_interaction
from pipeline.models.choose.encoder import load_encoder
from pipeline.records import SparseRows


@dataclass(frozen=True, slots=True)
class Scores:
    """`lexical`: of text 0 with itself and with text 1. `multivector`: of the query with each text."""

    dense: Ranking
    lexical: tuple[float, float]
    multivector: list[float]


def lexical_score(rows: SparseRows, i: int, j: int) -> float:
    """Σ over the tokens that both texts have of the product of their weights."""
    left, right = (dict(zip(*rows.row(k), strict=True)) for k in (i, j))
    return float(sum(weight * right[token] for token, weight in left.items() if token in right))


def main(argv: Sequence[str] | None = None) -> Scores:
    """Score the sentences three ways; see the module's text."""
    parser = arguments(__doc__, "BAAI/bge-m3")
    parser.add_argument("--runtime", default="auto", choices=["auto", "openvino", "torch", "flagembedding"])
    options = parser.parse_args(argv)
    settings = EncoderSettings(
        model=options.model, kind="bge-m3", device=options.device, runtime=options.runtime, multivectors=True
    )
    encoder = load_encoder(settings)
    dense = dense_ranking(encoder)

    documents, query = encoder.encode_documents(TEXTS), encoder.encode_queries([QUERY])
    assert documents.lexical is not None
    assert documents.multivectors is not None
    assert query.multivectors is not None
    ids, weights = documents.lexical.row(0)
    names = encoder.describe_tokens(TEXTS[0])
    print("\nlexical weights of text 0:")
    print("  " + ", ".join(f"{names[int(i)]} {w:.3f}" for i, w in zip(ids, weights, strict=True)))
    lexical = lexical_score(documents.lexical, 0, 0), lexical_score(documents.lexical, 0, 1)
    print(f"lexical score of text 0 with itself: {lexical[0]:.4f}, with text 1: {lexical[1]:.4f}")

    multivector = late_interaction(query.multivectors.vectors, documents.multivectors)
    counts = np.diff(documents.multivectors.offsets).tolist()
    print(f"\nmulti-vectors: {counts} tokens, scores with the query: {multivector.round(4).tolist()}")
    return Scores(dense, lexical, multivector.tolist())


if __name__ == "__main__":
    main()
