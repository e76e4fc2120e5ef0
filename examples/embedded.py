"""The embedded default: all-MiniLM-L6-v2, 384 dimensions, from a Python package, through OpenVINO.

    python examples/embedded.py

Downloads nothing. It is an English model: of the Korean sentences it ranks those with an English word in them.
"""

from __future__ import annotations

from tutorial import Ranking, dense_ranking

from pipeline.config import EncoderSettings
from pipeline.models.choose.encoder import load_encoder


def main() -> Ranking:
    """Rank the sentences; see the module's text."""
    return dense_ranking(load_encoder(EncoderSettings(model="embedded", lexical="none")))


if __name__ == "__main__":
    main()
