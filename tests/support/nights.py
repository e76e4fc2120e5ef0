"""The nights of `bench/nights.py`, for tests: the same collection, encoder and faults."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

_SPEC = importlib.util.spec_from_file_location("bench_nights", Path(__file__).parents[2] / "bench/nights.py")
assert _SPEC is not None
assert _SPEC.loader is not None
_BENCH = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _BENCH
_SPEC.loader.exec_module(_BENCH)

config_of, encoder, write = _BENCH.config_of, _BENCH.encoder, _BENCH.write
BROKEN: dict[str, Any] = {
    name: _BENCH.FAULTS[name]
    for name in ("tokenizer drops Hangul", "another model behind the same name", "vectors in the wrong rows")
}


def collection(rng: random.Random) -> Any:
    """A collection in two languages that changes from night to night."""
    return _BENCH.Collection(_BENCH.passages(), rng)
