"""Dense vectors of one encoder, lexical weights of another, in one index.

    python examples/mixed.py
    python examples/mixed.py --lexical BAAI/bge-m3
    python examples/mixed.py --lexical bm25 --model BAAI/bge-m3
    python examples/mixed.py --model BAAI/bge-m3 --url http://127.0.0.1:8080 --lexical BAAI/bge-m3
    python examples/mixed.py --lexical naver/splade-v3 --lexical-url http://127.0.0.1:8081

By default the dense leg is the embedded model and the lexical leg SPLADE, through the SparseEncoder of
sentence-transformers: that downloads naver/splade-cocondenser-ensembledistil (0.4 GB) into the hub's cache unless
it is there. `--url` and `--lexical-url` name text-embeddings-inference servers, which run the models instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tutorial import Ranking, arguments, dense_ranking, hybrid_ranking, index_of, lexical_scores, local

import pipeline
from pipeline.config import EncoderSettings, EndpointSection
from pipeline.models.choose.encoder import load_encoder


@dataclass(frozen=True, slots=True)
class Mixture:
    """`lexical`: scores of text 0 with itself and with text 1. `hits`: the hybrid ranking."""

    dense: Ranking
    lexical: tuple[float, float]
    hits: list[pipeline.Hit]


def main(argv: Sequence[str] | None = None) -> Mixture:
    """Rank the sentences by each leg and by both; see the module's text."""
    parser = arguments(__doc__, "embedded")
    parser.add_argument("--url", help="server of the dense model")
    splade = "naver/splade-cocondenser-ensembledistil"
    parser.add_argument("--lexical", default=splade, metavar="NAME", help="sparse model, BGE-M3, or bm25")
    parser.add_argument("--lexical-url", help="server of the sparse model")
    options = parser.parse_args(argv)
    settings = EncoderSettings(
        model=local(options.model),
        lexical=local(options.lexical),
        device=options.device,
        endpoint=EndpointSection(protocol="tei", url=options.url) if options.url else None,
        lexical_endpoint=EndpointSection(protocol="tei", url=options.lexical_url) if options.lexical_url else None,
    )
    dense = dense_ranking(load_encoder(settings))
    with index_of(settings) as index:
        return Mixture(dense, lexical_scores(index), hybrid_ranking(index))


if __name__ == "__main__":
    main()
