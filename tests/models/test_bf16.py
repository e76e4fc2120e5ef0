"""Weights are kept in the precision that is computed in, rounded as hardware rounds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from pipeline.models.local import english
from pipeline.models.runtime.bf16 import bf16_bits
from pipeline.models.runtime.openvino import OpenVinoEncoder, cpu_capabilities, layers_in

ANY_BITS = drawn.arrays(np.uint32, st.integers(1, 20), elements=st.integers(0, 2**32 - 1))


@given(ANY_BITS)
@example(np.array([0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x80000001], np.uint32))  # ties, overflow, the least
def test_rounding_is_that_of_torch(bits: npt.NDArray[np.uint32]) -> None:
    import torch

    values = bits.view(np.float32)
    known = ~np.isnan(values)
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    found = bf16_bits(values)
    assert found[known].tolist() == expected[known].tolist()
    assert np.isnan((found[~known].astype(np.uint32) << np.uint32(16)).view(np.float32)).all()


def test_an_artifact_is_named_after_what_its_weights_are_kept_in() -> None:
    assert layers_in("f32") == layers_in("f16") == "f32"
    exact = english.english_artifact(checksums=False, rebuild=False, precision="f32")
    assert exact.name.endswith("-f32")
    if "BF16" not in cpu_capabilities():
        pytest.skip("this CPU has no bf16")
    rounded = english.english_artifact(checksums=False, rebuild=False, precision="bf16")
    assert rounded.name.endswith("-bf16")
    sizes = [(folder / "model.bin").stat().st_size for folder in (rounded, exact)]
    assert sizes[0] < 0.6 * sizes[1]


def test_rounded_weights_give_what_the_runtime_makes_of_exact_ones(tmp_path: Path) -> None:
    if "BF16" not in cpu_capabilities():
        pytest.skip("this CPU has no bf16")
    encoder = english.english_encoder(precision="bf16")
    texts = ["roll back a bad build", "검색 색인을 되돌린다", "One more, longer than the others are. " * 9]
    batches = list(encoder.batches(texts))
    found = []
    for precision in ("bf16", "f32"):
        folder = english.english_artifact(checksums=False, rebuild=False, precision=precision)
        session = OpenVinoEncoder(folder, "latency", {"dense"}, "bf16")
        rows = np.concatenate([outputs["dense"] for _, outputs in session.run(batches)])
        found.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    assert (found[0] * found[1]).sum(axis=1).min() > 0.9998
