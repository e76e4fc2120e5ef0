"""A sentence-transformers model that is told what to look for: intfloat/multilingual-e5-large-instruct.

    python examples/instruct.py [--model NAME] [--task TEXT] [--device cuda]

Queries become `Instruct: {task}\\nQuery: {text}`, passages stay bare; that is known by the model's name (or saved
with it) and needs no setting. Downloads the model (1.1 GB) into the hub's cache unless it is there or `--model`
names a folder.
"""

from __future__ import annotations

from collections.abc import Sequence

from tutorial import Ranking, arguments, dense_ranking

from pipeline.config import EncoderSettings
from pipeline.models.choose.encoder import load_encoder


def main(argv: Sequence[str] | None = None) -> Ranking:
    """Rank the sentences; see the module's text."""
    parser = arguments(__doc__, "intfloat/multilingual-e5-large-instruct")
    parser.add_argument("--task", help="what the query is for (default: a web search query)")
    options = parser.parse_args(argv)
    settings = EncoderSettings(model=options.model, lexical="none", device=options.device, task=options.task)
    encoder = load_encoder(settings)
    fingerprint = encoder.dense_fingerprint
    assert fingerprint is not None
    print(f"before each query: {dict(fingerprint.fields)['query_instruction']!r}")
    return dense_ranking(encoder)


if __name__ == "__main__":
    main()
