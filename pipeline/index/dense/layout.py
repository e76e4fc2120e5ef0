"""What a FAISS index says of the layout of its codes, compared with what its kind lays out.

FAISS believes these numbers when it searches: a file in which they are wrong can end the process.
"""

from __future__ import annotations

from typing import Any

_FIELDS = ("d", "code_size", "nlist", "metric_type", "M", "M2", "ksub", "nbits", "bbs", "qbs2")
_QUANTIZER_FIELDS = ("d", "code_size", "metric_type", "nb_bits")


def differences(index: Any, made: Any) -> list[str]:
    """Names of the numbers in which a read index differs from a fresh one of its kind."""
    pairs: list[tuple[str, tuple[str, ...], Any, Any]] = [("", _FIELDS, index, made)]
    pairs += [
        (f"{name}.", _QUANTIZER_FIELDS, getattr(index, name, None), getattr(made, name, None))
        for name in ("rabitq", "sq", "pq")
    ]
    return [
        f"{prefix}{field}"
        for prefix, fields, mine, theirs in pairs
        for field in fields
        if getattr(mine, field, None) != getattr(theirs, field, None)
    ]
