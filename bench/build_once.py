"""One quiet build as `pipeline build` does it, for benchmarks that start each in a process of its own.

Usage: python bench/build_once.py CONFIG [--stub]. `--stub` puts random vectors in place of the dense model, so that
everything but the model is measured in minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.cli import cli
from pipeline.cli.common import Options
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.encoder import MixedEncoder
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.records import Encoded, Fingerprint

DIMENSION = 384


class RandomVectors:
    """Dense only: rows that have nothing to do with the texts."""

    dense_fingerprint = Fingerprint.of(kind="random", dimension=DIMENSION)
    lexical_fingerprint = None
    dimension = DIMENSION
    gives_multivectors = False
    lexical_scoring = LexicalScoring("dot")
    runtime = Runtime("numpy", "cpu", "f32")

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """The same random rows for each call."""
        rows = np.random.default_rng(0).standard_normal((len(texts), DIMENSION)).astype(np.float32)
        return Encoded(dense=rows / np.linalg.norm(rows, axis=1, keepdims=True))

    encode_queries = encode_documents

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """There are none."""
        return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("--stub", action="store_true")
    given = parser.parse_args()
    options = Options(encoder=MixedEncoder(RandomVectors(), Bm25Encoder()) if given.stub else None)
    cli(["--config", given.config, "--quiet", "build"], prog_name="pipeline", obj=options)


if __name__ == "__main__":
    main()
