"""A chunk longer than what the encoder reads is warned of, unless it is on purpose."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import WHOLE_PASSAGE_TOKENS, EncoderSettings, parse_config
from pipeline.job import plan
from pipeline.models.choose.encoder import chunk_tokenizer, load_encoder
from pipeline.models.choose.tokens_read import tokens_read
from pipeline.records import Fingerprint


def read(**settings: str) -> dict[str, int]:
    chosen = EncoderSettings(**settings)  # type: ignore[arg-type]
    return tokens_read(chosen, load_encoder(chosen), chunk_tokenizer(chosen), Path())


def test_the_embedded_model_reads_what_the_default_says() -> None:
    assert read() == {"dense": 512 - 2 - 2}  # special tokens, and `▁passage` and `:`
    assert read()["dense"] >= parse_config({}).chunking.max_tokens
    assert read(model="embedded-english") == {"dense": parse_config({}).chunking.max_tokens}
    assert read(model="none") == {}


def test_the_limit_is_where_the_vector_stops_changing() -> None:
    encoder = load_encoder(EncoderSettings(lexical="none"))
    limit = read()["dense"]
    texts = ["word " * limit, "word " * limit + "zebra", "word " * (limit - 1) + "zebra"]
    vectors = encoder.encode_documents(texts).dense
    assert vectors is not None
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert not np.allclose(vectors[0], vectors[2], atol=1e-3)


class Told:
    """An encoder of which only the fingerprints are asked."""

    def __init__(self, **fields: object) -> None:
        self.dense_fingerprint = Fingerprint.of(**fields)
        self.lexical_fingerprint = None


def test_the_instruction_takes_its_part_and_a_server_that_does_not_tell_has_no_limit() -> None:
    settings = EncoderSettings()
    tokenizer = chunk_tokenizer(EncoderSettings(model="embedded-english"))
    told = Told(max_tokens=100, document_instruction="passage: ")
    assert tokens_read(settings, told, tokenizer, Path()) == {"dense": 100 - 2 - 2}  # type: ignore[arg-type]
    assert tokens_read(settings, Told(max_tokens="server"), tokenizer, Path()) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(("tokens", "warned"), [(508, 0), (509, 1), (2048, 1), (WHOLE_PASSAGE_TOKENS, 0)])
def test_the_warning_names_number_loss_and_cure(caplog: pytest.LogCaptureFixture, tokens: int, warned: int) -> None:
    config = parse_config({"chunking": {"max_tokens": tokens}})
    with caplog.at_level(logging.WARNING):
        plan.warn_of_unread_tokens(config, load_encoder(config.encoder), chunk_tokenizer(config.encoder))
    assert len(caplog.records) == warned
    if warned:
        assert (
            f"chunking.max_tokens={tokens} is more than the encoder reads: the dense leg sees only the first 508"
            in (caplog.text)
        )
        assert caplog.text.strip().endswith("set chunking.max_tokens: 508")
