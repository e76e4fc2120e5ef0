"""Which arithmetic a CPU is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.models import openvino_runtime


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fma avx512_bf16 amx_bf16 amx_tile", "bf16"),
        ("fma avx512_bf16 avx512f", "f32"),
        ("fma avx2", "f32"),
        (None, "f32"),
    ],
)
def test_bf16_only_where_there_are_matrix_units(
    flags: str | None, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = tmp_path / "cpuinfo"
    if flags is not None:
        described.write_text(f"processor : 0\nflags : fpu {flags} vme\n")
    monkeypatch.setattr(openvino_runtime, "CPU_DESCRIPTION", described)
    assert openvino_runtime.cpu_precision() == precision
