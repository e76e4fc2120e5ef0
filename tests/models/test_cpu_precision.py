"""Which arithmetic a CPU is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import EncoderSettings
from pipeline.errors import ConfigError
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.local.transformer import TransformerEncoder
from pipeline.models.runtime import openvino as openvino_runtime


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


@pytest.mark.parametrize("precision", ["auto", "f32", "bf16", "f16"])
def test_what_is_shown_is_what_is_computed(precision: str) -> None:
    settings = EncoderSettings.model_validate({"precision": precision, "lexical": "none"})
    if precision == "f16" and "FP16" not in openvino_runtime.cpu_capabilities():
        pytest.skip("this CPU has no f16")
    encoder = load_encoder(settings).dense_encoder  # type: ignore[attr-defined]
    assert isinstance(encoder, TransformerEncoder)
    session = encoder.session("latency")
    compiled = session._compiled.get_property("INFERENCE_PRECISION_HINT")  # type: ignore[attr-defined]
    assert compiled.to_string() == encoder.runtime.precision


def test_a_cpu_without_f16_refuses_it_and_without_bf16_computes_in_f32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runtime, "cpu_capabilities", lambda: frozenset({"FP32", "INT8"}))
    with pytest.raises(ConfigError, match=r"encoder\.precision: this CPU does not compute in f16; set auto"):
        load_encoder(EncoderSettings(precision="f16"))
    assert load_encoder(EncoderSettings(precision="bf16")).runtime.precision == "f32"
