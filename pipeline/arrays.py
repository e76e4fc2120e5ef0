"""Mapping .npy files, whose header is read as the one line that NumPy writes.

NumPy reads it as Python source, and Python 3.11 parses no two sources at once: threads that open files at the same
time would see `SystemError`. It is also less to trust in a file that may be damaged or made to do harm.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_HEADER = re.compile(
    rb"\x93NUMPY(?:\x01\x00(?P<short>..)|[\x02\x03]\x00(?P<long>....))"
    rb"(?P<text>\{'descr': '(?P<descr>[<>|][biufc]\d{1,2})', 'fortran_order': False, "
    rb"'shape': \((?P<shape>|\d+,|\d+(?:, \d+)+)\), \} *\n)",
    re.DOTALL,
)
T = TypeVar("T", bound=np.generic)
_LONGEST = 4096
"""No header of an array of numbers is longer."""


def mapped(path: Path) -> npt.NDArray[Any]:
    """The array of numbers in a file, memory-mapped and read-only. Raises `ValueError` if it is none, `OSError`."""
    with path.open("rb") as file:
        found = _HEADER.match(file.read(_LONGEST))
        size = file.seek(0, 2)
    if found is None or int.from_bytes(found["short"] or found["long"], "little") != len(found["text"]):
        raise ValueError("not the header of an .npy file of numbers")
    try:
        dtype = np.dtype(found["descr"].decode())
    except TypeError as error:
        raise ValueError(f"no kind of number: {error}") from None
    shape = tuple(int(length) for length in found["shape"].split(b",") if length)
    missing = found.end() + math.prod(shape) * dtype.itemsize - size
    if missing > 0:
        raise ValueError(f"{missing} bytes are missing")
    return np.memmap(path, dtype, "r", found.end(), shape)


def distinct(values: npt.NDArray[T]) -> npt.NDArray[T]:
    """The different values of a one-dimensional array, ascending. `np.unique` would import masked arrays first."""
    ordered = np.sort(values)
    kept = np.ones(len(ordered), np.bool_)
    kept[1:] = ordered[1:] != ordered[:-1]
    return ordered[kept]
