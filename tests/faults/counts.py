"""How often a fault is injected: little by default, everything with `PIPELINE_TORTURE=1` (`make torture`)."""

from __future__ import annotations

import os

TORTURE = os.environ.get("PIPELINE_TORTURE", "") not in ("", "0")


def count(quick: int, full: int) -> int:
    """The number of repetitions of this run."""
    return full if TORTURE else quick


def step(quick: int) -> int:
    """Every how many-th point of an exhaustive walk is tried: all of them in a torture."""
    return 1 if TORTURE else quick
