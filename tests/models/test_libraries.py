"""The libraries' own runtimes: the precision and device that are asked for, and no noise while they load."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from pipeline.config import EncoderSettings
from pipeline.errors import ConfigError, EncoderError
from pipeline.models.choose.encoder import load_encoder
from pipeline.records import Encoded

RUNTIMES: dict[str, dict[str, Any]] = {
    "torch": {"model": "m3", "runtime": "torch"},
    "flagembedding": {"model": "m3", "runtime": "flagembedding"},
    "sentence-transformers": {"model": "dense", "runtime": "sentence-transformers"},
    "splade": {"model": "none", "lexical": "splade"},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libraries")
    tiny.save_bge_m3(folder / "m3")
    tiny.save_sentence_model(folder / "dense")
    tiny.save_splade(folder / "splade")
    return folder


def encode(models: Path, name: str, **settings: Any) -> Encoded:
    chosen = EncoderSettings(**{**RUNTIMES[name], "device": "cpu", **settings})
    return load_encoder(chosen, base=models).encode_documents(tiny.SENTENCES)


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_the_precision_is_the_one_asked_for(models: Path, precision: str) -> None:
    name = "sentence-transformers"
    exact, rounded = encode(models, name).dense, encode(models, name, precision=precision).dense
    np.testing.assert_array_equal(exact, encode(models, name, precision="f32").dense)
    assert exact is not None
    assert rounded is not None
    assert 1e-5 < np.abs(exact - rounded).max() < 0.05
    lexical, half = encode(models, "splade").lexical, encode(models, "splade", precision=precision).lexical
    assert lexical is not None
    assert half is not None
    assert 0 < np.abs(lexical.row(0)[1].sum() - half.row(0)[1].sum()) < 1
    shown = load_encoder(EncoderSettings(**RUNTIMES[name], device="cpu", precision=precision), base=models)  # type: ignore[arg-type]
    assert shown.runtime.precision == precision


def test_a_model_saved_in_half_precision_is_computed_in_f32_on_a_cpu(models: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(models / "dense"), device="cpu").half().save(str(tmp_path / "half"))
    settings = EncoderSettings(model=str(tmp_path / "half"), runtime="sentence-transformers", device="cpu")
    encoder = load_encoder(settings)
    assert encoder.runtime.precision == "f32"
    dense = encoder.encode_documents(tiny.SENTENCES).dense
    openvino = load_encoder(settings.model_copy(update={"runtime": "openvino", "precision": "f32"}))
    np.testing.assert_allclose(dense, openvino.encode_documents(tiny.SENTENCES).dense, atol=1e-4)


def test_flagembedding_knows_f32_only_on_a_cpu(models: Path) -> None:
    encode(models, "flagembedding", precision="f32")
    with pytest.raises(ConfigError, match=r"encoder\.precision: bf16 is not what FlagEmbedding computes in"):
        encode(models, "flagembedding", precision="bf16")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_a_device_that_is_not_there(models: Path, name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(EncoderError, match=rf"encoder\.device={device}: this installation of torch cannot use it"):
        encode(models, name, device=device)


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_loading_is_silent(
    models: Path, name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Also where we log what we do: `--log-json` is for lines of JSON."""
    from transformers.utils import logging as messages

    before = messages.get_verbosity(), messages.is_progress_bar_enabled()
    capfd.readouterr()
    with caplog.at_level(logging.INFO, logger="pipeline"):
        encode(models, name)
    assert capfd.readouterr().err == ""
    assert (messages.get_verbosity(), messages.is_progress_bar_enabled()) == before
