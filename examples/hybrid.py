"""One hybrid ranking: the five sentences as documents of an index in a temporary folder, searched with the query.

    python examples/hybrid.py [--model NAME] [--device cuda]

With the embedded default it downloads nothing, and BM25 is the lexical leg. With `--model BAAI/bge-m3` (2.3 GB,
downloaded once) dense vectors and lexical weights are both the model's; with any sentence-transformers model, the
lexical leg is BM25.
"""

from __future__ import annotations

from collections.abc import Sequence

from tutorial import arguments, hybrid_ranking, index_of, lexical_scores, local

import pipeline
from pipeline.config import EncoderSettings


def main(argv: Sequence[str] | None = None) -> list[pipeline.Hit]:
    """Build, search, print; see the module's text."""
    options = arguments(__doc__, "embedded").parse_args(argv)
    with index_of(EncoderSettings(model=local(options.model), device=options.device)) as index:
        lexical_scores(index)
        return hybrid_ranking(index)


if __name__ == "__main__":
    main()
