"""Which arithmetic a CPU is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.models import openvino_runtime


@pytest.mark.parametrize(
    ("vendor", "flags", "precision"),
    [
        ("GenuineIntel", "fma avx512_bf16 amx_bf16 amx_tile", "bf16"),
        ("GenuineIntel", "fma avx512_bf16 avx512f", "f32"),
        ("AuthenticAMD", "fma avx512_bf16 avx512f", "bf16"),
        ("AuthenticAMD", "fma avx2", "f32"),
    ],
)
def test_bf16_only_where_it_is_faster(
    vendor: str, flags: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = tmp_path / "cpuinfo"
    described.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags} vme\n")
    monkeypatch.setattr(openvino_runtime, "CPU_DESCRIPTION", described)
    assert openvino_runtime.cpu_precision() == precision


def test_f32_where_the_cpu_is_not_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runtime, "CPU_DESCRIPTION", tmp_path / "cpuinfo")
    assert openvino_runtime.cpu_precision() == "f32"
