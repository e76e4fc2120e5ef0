"""Korean morphemes as BM25 terms: what is kept, what a fingerprint says, and what a missing package does."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from pipeline.config import Bm25Settings, EncoderSettings
from pipeline.errors import IncompatibleIndexError, MissingDependencyError
from pipeline.job import build as builder
from pipeline.models.bm25.analyzer import Analyzer
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.bm25.korean_morphemes import MorphemeCutter
from pipeline.query.searcher import open_index
from tests.support.collection import config_for, write_documents

CUT = MorphemeCutter()


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("kiwipiepy")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("문서를", ["문서"]),  # a particle is dropped
        ("공부했던", ["공부", "하"]),  # endings too; the stem stays
        ("서울대학교에서", ["서울", "울대", "대학", "학교"]),  # a long noun is found by its parts
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert CUT(text) == terms


def test_a_verb_is_found_in_another_form() -> None:
    assert CUT("먹었습니다")[0] == CUT("먹는다")[0] == "먹"
    assert CUT("더웠다")[0] == CUT("덥습니다")[0] == "덥"  # an irregular stem


def test_only_hangul_is_cut_by_morphemes() -> None:
    mixed = "Running 東京タワー поиски 256"
    assert Analyzer(hangul=CUT).terms(mixed) == Analyzer().terms(mixed)
    assert Analyzer(hangul=CUT).terms("LangChain 문서를 東京 먹었다") == ["langchain", "문서", "東京", "먹"]


def test_a_very_long_run_and_lone_letters_are_survived() -> None:
    assert CUT("가나다라마바사" * 3000)
    assert isinstance(Analyzer(hangul=CUT).terms("ㅋㅋㅋ ㅠㅠ ㅏ"), list)


def test_rows_and_descriptions_agree() -> None:
    encoder = Bm25Encoder(Bm25Settings(korean="morphemes"))
    rows = encoder.encode_documents(["문서를 문서와 읽었다"]).lexical
    assert rows is not None
    names = encoder.describe_tokens("문서는 읽는다")
    ids, weights = rows.row(0)
    assert {names[key]: weight for key, weight in zip(ids.tolist(), weights.tolist(), strict=True)} == {
        "문서": 2.0,
        "읽": 1.0,
    }


def test_the_fingerprint_names_the_analyser_and_is_as_before_without() -> None:
    plain = Bm25Encoder(Bm25Settings(korean="bigrams")).lexical_fingerprint
    korean = Bm25Encoder(Bm25Settings(korean="morphemes")).lexical_fingerprint
    assert plain is not None
    assert korean is not None
    assert "korean" not in dict(plain.fields)
    assert f"kiwipiepy {metadata.version('kiwipiepy')}" in dict(korean.fields)["korean"]


def test_an_index_is_queried_only_by_what_it_was_built_with(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    morphemes = {"model": "none", "bm25": {"korean": "morphemes"}}
    config = config_for(tmp_path, encoder=morphemes)
    builder.build(config)
    with open_index(config.index_path) as index:  # the index knows how it was built
        assert index.search("발행했던 세대")[0].doc_id == "ko/rollback.md"
    bigrams = {"model": "none", "bm25": {"korean": "bigrams"}}
    with pytest.raises(IncompatibleIndexError, match=r"lexical korean: 'kiwipiepy .*' → \(absent\)"):
        open_index(config.index_path, encoder=EncoderSettings.model_validate(bigrams))
    with pytest.raises(IncompatibleIndexError, match="rebuild"):
        builder.build(config_for(tmp_path, encoder=bigrams))


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(MissingDependencyError, match=r"encoder\.bm25\.korean.*hybrid-pipeline\[korean\]"):
        Bm25Encoder(Bm25Settings(korean="morphemes"))
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    with pytest.raises(MissingDependencyError, match=r"hybrid-pipeline\[korean\]"):
        MorphemeCutter()("문서")
