"""An index goes on with the encoder that it was built with, in what the settings leave open."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Bm25Settings, Config, EncoderSettings
from pipeline.errors import IncompatibleIndexError
from pipeline.index import manifest as manifests
from pipeline.job import build as builder
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.open_settings import as_found, as_recorded
from pipeline.query.searcher import open_index
from pipeline.records import Fingerprint
from tests.support.collection import config_for, write_documents

LEXICAL = {"kind": "bm25", "analyzer": "1", "stemmer": "english", "hash": "xxh3_64"}
NOW = {**LEXICAL, "identifiers": "parts"}


def configured(folder: Path, **bm25: Any) -> Config:
    return config_for(folder, encoder={"model": "none", **({"bm25": bm25} if bm25 else {})})


def recorded(config: Config) -> dict[str, str]:
    return manifests.with_live(config.index_path, lambda manifest: manifest).fingerprints["lexical"]


def test_what_was_set_stays_and_the_rest_is_recorded() -> None:
    settings = EncoderSettings()
    assert as_recorded(settings, {"lexical": LEXICAL}).bm25.korean == "bigrams"
    assert as_recorded(settings, {"lexical": {**LEXICAL, "korean": "stems 1"}}).bm25.korean == "stems"
    assert as_recorded(settings, {"lexical": {**LEXICAL, "korean": "kiwipiepy 0.24"}}).bm25.korean == "morphemes"
    assert as_recorded(settings, {"lexical": LEXICAL}).bm25.identifiers == "whole"
    assert as_recorded(settings, {"lexical": NOW}).bm25.identifiers == "parts"
    chosen = EncoderSettings(bm25=Bm25Settings(korean="stems", k1=0.9, languages=["de", "ru"], identifiers="parts"))
    assert as_recorded(chosen, {"lexical": LEXICAL}) == chosen
    assert as_recorded(EncoderSettings(bm25=Bm25Settings(stemmer=None)), {"lexical": LEXICAL}).bm25.stemmer is None
    for other in ({}, {"dense": {"kind": "transformer"}}, {"lexical": {"kind": "bge-m3"}}):
        assert as_recorded(settings, other) == settings


@pytest.mark.parametrize(
    "bm25",
    [
        {},
        {"korean": "bigrams"},
        {"languages": []},
        {"languages": ["ko", "vi"]},
        {"languages": ["de"]},
        {"languages": ["ar", "el", "fi", "hi", "hy", "ru", "ta", "yi"]},
        {"languages": ["ru"], "stemmer": "porter"},
        {"languages": ["ru", "de"], "stemmer": None},
    ],
)
def test_an_encoder_of_the_recorded_settings_has_the_recorded_fingerprint(bm25: dict[str, Any]) -> None:
    made = Bm25Encoder(Bm25Settings(**bm25)).lexical_fingerprint
    assert made is not None
    followed = as_recorded(EncoderSettings(), {"lexical": dict(made.fields)})
    assert Bm25Encoder(followed.bm25).lexical_fingerprint == made


def test_an_index_of_bigrams_goes_on_until_a_full_build(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    documents = write_documents(tmp_path / "documents")
    builder.build(configured(tmp_path, korean="bigrams"))
    config = configured(tmp_path)  # as a later version of the program reads an old configuration
    write_documents(documents, {"ko/new.md": "# 새 문서\n\n색인을 다시 만들었습니다."})
    assert builder.plan(config).chunks == 1
    with caplog.at_level(logging.INFO):
        assert builder.build(config).encoded_chunks == 1
    assert "korean: bigrams, as the index was built; `pipeline build --full` makes it stems" in caplog.text
    assert recorded(config) == NOW
    with open_index(config.index_path) as index:
        assert index.search("색인을", 1)[0].doc_id == "ko/new.md"
    with open_index(config.index_path, encoder=config.encoder) as index:
        assert index.search("색인을", 1)[0].doc_id == "ko/new.md"
    with pytest.raises(IncompatibleIndexError, match=r"lexical korean: \(absent\) → 'stems 1'.*--full"):
        builder.build(configured(tmp_path, korean="stems"))
    builder.build(config, full=True)
    assert recorded(config) == {**NOW, "korean": "stems 1"}
    with open_index(config.index_path) as index:
        assert index.search("만들어서", 1)[0].doc_id == "ko/new.md"


def test_ingest_encode_and_publish_follow_too(tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents")
    builder.build(configured(tmp_path, korean="bigrams"))
    config = configured(tmp_path)
    write_documents(documents, {"ko/new.md": "# 새 문서\n\n색인을 다시 만들었습니다."})
    builder.ingest(config)
    builder.encode(config)
    assert recorded(config) == NOW
    builder.ingest(config, full=True)
    builder.encode(config)
    assert recorded(config)["korean"] == "stems 1"


GERMAN = {
    f"{name}.md": f"# {name}\n\n{text}"
    for name, text in {
        "Häuser": "Die alten Häuser am Ufer des Flusses wurden vor langer Zeit von Fischern gebaut.",
        "Sicherung": "Vor jeder Änderung der Einstellungen sollte eine Sicherung der Datenbank angelegt werden.",
        "Suche": "Bei der Suche nach Dokumenten werden die Wörter der Anfrage auf ihre Stämme zurückgeführt.",
    }.items()
}


def test_the_first_build_finds_the_language_and_later_ones_keep_it(tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents", GERMAN)
    config = configured(tmp_path)
    assert builder.plan(config).chunks == 3
    assert builder.build(config).encoded_chunks == 3
    assert recorded(config)["stemmer"] == "german"
    with open_index(config.index_path) as index:
        assert index.search("ein Haus", 1)[0].doc_id == "Häuser.md"
    write_documents(
        documents, {f"{i}.md": f"The house number {i} stands at the river and is old." for i in range(9)}
    )
    assert builder.build(config).encoded_chunks == 9
    assert recorded(config)["stemmer"] == "german"  # though most are English by now
    builder.ingest(config, full=True)
    builder.encode(config)
    assert recorded(config)["stemmer"] == "english"


def test_named_languages_are_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    write_documents(tmp_path / "documents", GERMAN)
    config = configured(tmp_path, languages=["ru", "fr"])
    builder.build(config)
    assert recorded(config) == {**NOW, "stemmer": "french", "stemmers": "Cyrillic russian", "korean": "stems 1"}
    builder.build(configured(tmp_path))  # nor by a build that adds to an index
    with pytest.raises(IncompatibleIndexError, match=r"lexical stemmer: french → german"):
        builder.build(configured(tmp_path, languages=["de", "ru"]))


def test_an_encoder_without_bm25_looks_for_no_language() -> None:
    settings = EncoderSettings()
    toy = Bm25Encoder()
    toy.lexical_fingerprint = Fingerprint.of(kind="learned")
    assert as_found(settings, toy, iter(())) is settings
    toy.lexical_fingerprint = None
    assert as_found(settings, toy, iter(())) is settings


def test_processes_of_a_build_have_the_languages_that_were_found(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents", GERMAN)
    config = config_for(tmp_path, encoder={"model": "none"}, encode={"devices": ["cpu"]})
    builder.build(config)
    with open_index(config.index_path) as index:
        assert index.search("ein Haus", 1)[0].doc_id == "Häuser.md"
