"""The embedded default: multilingual-e5-small, 384 dimensions, from a Python package, through OpenVINO.

    python examples/embedded.py

Downloads nothing on Linux with x86-64 (docs/encoders.md has the command for others). The two Korean sentences that
tell what LangChain is come first.
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
