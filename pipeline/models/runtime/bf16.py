"""bfloat16, which NumPy has not: the upper half of a float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.records import Float32

_NAN = np.uint16(0x7FC0)


def bf16_bits(values: Float32) -> npt.NDArray[np.uint16]:
    """The nearest bfloat16 of each value, of two the even one, as hardware rounds; not a number stays so."""
    bits = values.view(np.uint32)
    last = (bits >> np.uint32(16)) & np.uint32(1)
    rounded: npt.NDArray[np.uint16] = ((bits + np.uint32(0x7FFF) + last) >> np.uint32(16)).astype(np.uint16)
    rounded[np.isnan(values)] = _NAN
    return rounded
