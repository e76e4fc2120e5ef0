"""Two models, or one model twice: which settings reach which side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from pipeline.config import EncoderSettings, EndpointSection
from pipeline.errors import PipelineError
from pipeline.models.choose import local
from pipeline.models.choose.encoder import MixedEncoder, load_encoder
from pipeline.models.choose.kinds import missing_downloads
from pipeline.models.contract import Encoder
from pipeline.models.local.transformer import TransformerEncoder

ENDPOINT = EndpointSection(protocol="tei", url="http://localhost:1")
LONG = "LangChain 에 대해서 알려주세요. " * 3000


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    tiny.save_bge_m3(folder / "m3")
    tiny.save_sentence_model(folder / "dense")
    tiny.save_splade(folder / "splade")
    return folder


def lexical_side(models: Path, lexical: str, **settings: Any) -> Encoder:
    chosen = EncoderSettings(**{"lexical": str(models / lexical), "device": "cpu", "precision": "f32", **settings})
    encoder = load_encoder(chosen)
    assert isinstance(encoder, MixedEncoder)
    assert encoder.lexical_encoder is not None
    return encoder.lexical_encoder


@pytest.mark.parametrize("lexical", ["m3", "splade"])
def test_the_lexical_leg_gets_no_instruction_of_the_dense_side(models: Path, lexical: str) -> None:
    dense = {"model": str(models / "dense")}
    plain = lexical_side(models, lexical, **dense)
    told = lexical_side(
        models, lexical, **dense, query_instruction="Instruct: RAG\nQuery: ", document_instruction="D"
    )
    for name in ("encode_queries", "encode_documents"):
        expected, found = getattr(plain, name)(tiny.SENTENCES).lexical, getattr(told, name)(tiny.SENTENCES).lexical
        np.testing.assert_array_equal(found.token_ids, expected.token_ids)
        np.testing.assert_array_equal(found.weights, expected.weights)
    assert told.describe_tokens("RAG") == plain.describe_tokens("RAG")
    assert told.lexical_fingerprint == plain.lexical_fingerprint


def test_dense_settings_are_not_held_against_the_lexical_model(models: Path) -> None:
    """Of a dense endpoint: more columns and longer texts than the lexical model has."""
    served = {"model": "test/model", "endpoint": ENDPOINT}
    lexical_side(models, "m3", **served, truncate_dim=512, runtime="torch")
    lexical_side(models, "splade", **served, truncate_dim=512, runtime="torch", kind="auto")
    lexical_side(models, "m3", model=str(models / "dense"), runtime="sentence-transformers")


@pytest.mark.parametrize("lexical", ["m3", "splade"])
def test_max_tokens_counts_up_to_the_lexical_models_own_limit(models: Path, lexical: str) -> None:
    served = {"model": "test/model", "endpoint": ENDPOINT}
    own, cut = (lexical_side(models, lexical, **served, max_tokens=count) for count in (20000, 64))
    assert own.encode_documents([LONG]).lexical is not None
    short = cut.encode_documents(["LangChain " * 100, "LangChain " * 100 + "끝"]).lexical
    assert short is not None
    np.testing.assert_array_equal(short.row(0)[0], short.row(1)[0])
    if isinstance(own, TransformerEncoder):
        assert own.spec.max_tokens == 8192


def test_kind_is_the_dense_models(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, tuple[str, ...]] = {}
    monkeypatch.setattr(local, "is_present", lambda name, _revision, _base, needs: asked.update({name: needs}))
    settings = EncoderSettings(model="org/m3", kind="bge-m3", lexical="org/splade")
    assert missing_downloads(settings, models) == ["org/m3", "org/splade"]
    assert asked == {"org/m3": ("sparse_linear.pt", "colbert_linear.pt"), "org/splade": ()}


@pytest.mark.parametrize("lexical", ["./missing", "org/missing", "http://host/model"])
def test_errors_about_the_lexical_model_name_its_key(models: Path, lexical: str) -> None:
    with pytest.raises(PipelineError, match=rf"^encoder\.lexical='{lexical}'"):
        load_encoder(EncoderSettings(model=str(models / "m3"), lexical=lexical, device="cpu"))


def test_one_bge_m3_named_twice_is_one_encoder(models: Path) -> None:
    def loaded(**settings: Any) -> Encoder:
        return load_encoder(EncoderSettings(model="m3", device="cpu", **settings), base=models)

    auto = loaded(query_instruction="Q: ")
    for lexical in ("m3", "./m3", str(models / "m3"), "dense/../m3"):
        twice = loaded(query_instruction="Q: ", lexical=lexical)
        assert isinstance(twice, TransformerEncoder)
        assert twice.spec == auto.spec  # type: ignore[attr-defined]
        assert twice.lexical_fingerprint == auto.lexical_fingerprint
    assert isinstance(loaded(lexical="m3", kind="sentence-transformers"), MixedEncoder)
