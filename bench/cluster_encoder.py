"""An encoder kind for bench/cluster.py, which its workers import: made-up vectors at a fixed cost a text.

`SECONDS_A_TEXT` in the environment is what a text costs; the time is slept, so that workers on one machine do not
take it from each other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import made_up

from pipeline.config import EncoderSettings
from pipeline.models.choose.kind import Kind
from pipeline.models.choose.kinds import known_kinds, register
from pipeline.models.contract import Encoder
from pipeline.names import DENSE
from pipeline.records import Encoded

WORD = "made-up-at-a-cost"
SECONDS = "SECONDS_A_TEXT"


class Slow(made_up.Vectors):
    """Waits before it answers."""

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """The texts' vectors, after their time."""
        time.sleep(float(os.environ.get(SECONDS, "0")) * len(texts))
        return super().encode_documents(texts)


def _load(settings: EncoderSettings, base: Path, batch_tokens: int | None) -> Encoder:
    return Slow(settings.truncate_dim or 384)


if all(WORD not in kind.words for kind in known_kinds()):
    register(
        Kind(
            "made up at a cost", DENSE, _load, words=(WORD,), settings=frozenset({"truncate_dim"}), has_model=False
        )
    )
