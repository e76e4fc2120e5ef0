"""A setting that a model does not have is refused, not ignored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import EncoderSettings, EndpointSection
from pipeline.errors import ConfigError
from pipeline.models.choose.applicable import refuse_unused
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.runtime.openvino import usable_precision

CHANGED: dict[str, Any] = {
    "kind": "bge-m3",
    "revision": "main",
    "runtime": "torch",
    "device": "cuda",
    "precision": "f32",
    "max_tokens": 128,
    "truncate_dim": 64,
    "query_instruction": "query: ",
    "document_instruction": "passage: ",
    "task": "find",
    "trust_remote_code": True,
}
ENDPOINT = EndpointSection(protocol="tei", url="http://localhost:1")


def refused(**settings: Any) -> set[str]:
    """The settings that are refused, each tried alone beside `settings`."""
    found = set()
    for name, value in CHANGED.items():
        try:
            refuse_unused(EncoderSettings(**settings, **{name: value}))
        except ConfigError:
            found.add(name)
    return found


def test_what_each_kind_has() -> None:
    every = set(CHANGED)
    assert refused(model="embedded") == every - {"precision"}
    assert refused(model="none") == every
    assert refused(model="folder") == set()
    assert refused(model="m", endpoint=ENDPOINT) == {
        "kind",
        "runtime",
        "device",
        "precision",
        "trust_remote_code",
    }
    dense_only = {"kind", "revision", "truncate_dim", "query_instruction", "document_instruction", "task"}
    assert refused(model="none", lexical="splade") == dense_only
    assert refused(model="m", endpoint=ENDPOINT, lexical="splade") == {"kind"}
    assert refused(model="embedded", lexical="m", lexical_endpoint=ENDPOINT) == every - {"precision", "max_tokens"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"endpoint": ENDPOINT},
            "encoder.endpoint would never be asked, because encoder.model=embedded .* set enc",
        ),
        ({"model": "none", "endpoint": ENDPOINT}, "because encoder.model=none"),
        ({"lexical_endpoint": ENDPOINT}, "encoder.lexical_endpoint .* encoder.lexical=auto .* set encoder.lexical"),
        ({"lexical": "bm25", "lexical_endpoint": ENDPOINT}, "because encoder.lexical=bm25"),
        ({"model": "m", "endpoint": ENDPOINT, "lexical": "none", "lexical_endpoint": ENDPOINT}, "lexical=none"),
    ],
)
def test_an_endpoint_that_would_never_be_asked_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_encoder(EncoderSettings(**settings))


def test_what_a_kind_does_anyway_may_be_said() -> None:
    refuse_unused(EncoderSettings(runtime="openvino", device="cpu"))


def test_the_embedded_model_computes_in_the_precision_that_is_asked_for() -> None:
    assert load_encoder(EncoderSettings(precision="bf16")).runtime.precision == usable_precision("bf16")
    assert load_encoder(EncoderSettings(precision="f32")).runtime.precision == "f32"


@given(st.sampled_from(sorted(CHANGED)))
def test_the_refusal_names_the_key_and_the_models(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"encoder\.{name}: .*encoder\.model=none .*encoder\.lexical=bm25"):
        refuse_unused(EncoderSettings(model="none", lexical="bm25", **{name: CHANGED[name]}))
