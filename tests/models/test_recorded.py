"""An index goes on with the encoder that it was built with, in what the settings leave open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Bm25Settings, Config, EncoderSettings
from pipeline.errors import IncompatibleIndexError
from pipeline.index import manifest as manifests
from pipeline.job import build as builder
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.recorded import as_recorded
from pipeline.query.searcher import open_index
from tests.support.collection import config_for, write_documents

LEXICAL = {"kind": "bm25", "analyzer": "1", "stemmer": "english", "hash": "xxh3_64"}


def configured(folder: Path, **bm25: Any) -> Config:
    return config_for(folder, encoder={"model": "none", **({"bm25": bm25} if bm25 else {})})


def recorded(config: Config) -> dict[str, str]:
    return manifests.with_live(config.index_path, lambda manifest: manifest).fingerprints["lexical"]


def test_what_was_set_stays_and_the_rest_is_recorded() -> None:
    settings = EncoderSettings()
    assert as_recorded(settings, {"lexical": LEXICAL}).bm25.korean == "bigrams"
    assert as_recorded(settings, {"lexical": {**LEXICAL, "korean": "stems 1"}}).bm25.korean == "stems"
    assert as_recorded(settings, {"lexical": {**LEXICAL, "korean": "kiwipiepy 0.24"}}).bm25.korean == "morphemes"
    chosen = EncoderSettings(bm25=Bm25Settings(korean="stems", k1=0.9))
    assert as_recorded(chosen, {"lexical": LEXICAL}) == chosen
    for other in ({}, {"dense": {"kind": "transformer"}}, {"lexical": {"kind": "bge-m3"}}):
        assert as_recorded(settings, other) == settings


@pytest.mark.parametrize("korean", ["stems", "bigrams"])
def test_an_encoder_of_the_recorded_settings_has_the_recorded_fingerprint(korean: Any) -> None:
    made = Bm25Encoder(Bm25Settings(korean=korean)).lexical_fingerprint
    assert made is not None
    followed = as_recorded(EncoderSettings(), {"lexical": dict(made.fields)})
    assert Bm25Encoder(followed.bm25).lexical_fingerprint == made


def test_an_index_of_bigrams_goes_on_until_a_full_build(tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents")
    builder.build(configured(tmp_path, korean="bigrams"))
    config = configured(tmp_path)  # as a later version of the program reads an old configuration
    write_documents(documents, {"ko/new.md": "# 새 문서\n\n색인을 다시 만들었습니다."})
    assert builder.plan(config).chunks == 1
    assert builder.build(config).encoded_chunks == 1
    assert recorded(config) == LEXICAL
    with open_index(config.index_path) as index:
        assert index.search("색인을", 1)[0].doc_id == "ko/new.md"
    with open_index(config.index_path, encoder=config.encoder) as index:
        assert index.search("색인을", 1)[0].doc_id == "ko/new.md"
    with pytest.raises(IncompatibleIndexError, match=r"lexical korean: \(absent\) → 'stems 1'.*--full"):
        builder.build(configured(tmp_path, korean="stems"))
    builder.build(config, full=True)
    assert recorded(config) == {**LEXICAL, "korean": "stems 1"}
    with open_index(config.index_path) as index:
        assert index.search("만들어서", 1)[0].doc_id == "ko/new.md"


def test_ingest_encode_and_publish_follow_too(tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents")
    builder.build(configured(tmp_path, korean="bigrams"))
    config = configured(tmp_path)
    write_documents(documents, {"ko/new.md": "# 새 문서\n\n색인을 다시 만들었습니다."})
    builder.ingest(config)
    builder.encode(config)
    assert recorded(config) == LEXICAL
    builder.ingest(config, full=True)
    builder.encode(config)
    assert recorded(config)["korean"] == "stems 1"
