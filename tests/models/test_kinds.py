"""Settings choose kinds of encoders, and a kind from outside the package is one like any other."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import pipeline
from pipeline.cli import cli
from pipeline.config import EncoderSettings, EndpointSection
from pipeline.config.encoder import AUTO, BM25, DENSE_WORDS, EMBEDDED, LEXICAL_WORDS, NONE, PRECOMPUTED
from pipeline.errors import ConfigError
from pipeline.ingest import readers
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.choose.encoder import MixedEncoder, load_encoder
from pipeline.models.choose.kind import Kind, Line
from pipeline.models.choose.kinds import BUILT_IN, NOT_FOR_ALL, known_kinds, register, resolve, unregister
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.records import Encoded, Fingerprint, SparseRows
from tests.support import shape

ENDPOINT = EndpointSection(protocol="tei", url="http://localhost:1")


class Lengths:
    """A text is the circle's point at its length: float32 (n, 2), rows of length 1."""

    dimension = 2
    gives_multivectors = False
    lexical_fingerprint: Fingerprint | None = None
    lexical_scoring = LexicalScoring("dot")
    runtime = Runtime("numpy", "cpu", "f32")

    def __init__(self, longest: int) -> None:
        self.dense_fingerprint: Fingerprint | None = Fingerprint.of(kind="lengths", max_tokens=longest)
        self._longest = longest

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        turns = np.array([min(len(text), self._longest) for text in texts], np.float32)
        return Encoded(np.stack([np.cos(turns), np.sin(turns)], axis=1))

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        return self.encode_documents(texts)

    def describe_tokens(self, text: str) -> dict[int, str]:
        return {}


class FirstLetters(Lengths):
    """A text's only token is its first letter."""

    dimension = None  # type: ignore[assignment]
    lexical_fingerprint = Fingerprint.of(kind="first letters")

    def __init__(self) -> None:
        self.dense_fingerprint = None

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        letters = np.array([ord(text[0]) for text in texts], np.uint64)
        offsets = np.arange(len(texts) + 1, dtype=np.int64)
        return Encoded(lexical=SparseRows(offsets, letters, np.ones(len(texts), np.float32)))


LENGTHS = Kind(
    "lengths",
    "dense",
    lambda settings, base, batch_tokens: Lengths(settings.max_tokens or 100),
    words=("lengths",),
    settings=frozenset({"max_tokens"}),
    lines=(Line("lengths", "model: lengths", "dense", {"numpy": ""}),),
)
LETTERS = Kind("letters", "lexical", lambda settings, base, batch_tokens: FirstLetters(), words=("letters",))


@pytest.fixture
def toys() -> Iterator[None]:
    register(LENGTHS)
    register(LETTERS)
    yield
    unregister(LENGTHS)
    unregister(LETTERS)
    assert known_kinds() == BUILT_IN


def chosen(**settings: Any) -> tuple[str | None, str | None]:
    dense, lexical = (kind and kind.name for kind in _sides(EncoderSettings(**settings)))
    return dense, lexical


def _sides(settings: EncoderSettings) -> tuple[Kind | None, Kind | None]:
    choice = resolve(settings)
    return choice.dense, choice.lexical


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({}, ("embedded", "bm25")),
        ({"model": NONE}, (None, "bm25")),
        ({"lexical": NONE}, ("embedded", None)),
        ({"model": "a/model", "lexical": BM25}, ("model", "bm25")),
        ({"model": "a/model", "lexical": "./folder"}, ("model", "lexical model")),
        ({"model": "a/model", "endpoint": ENDPOINT, "lexical": AUTO}, ("endpoint", "bm25")),
        (
            {"model": "m", "endpoint": ENDPOINT, "lexical": "l", "lexical_endpoint": ENDPOINT},
            ("endpoint", "endpoint"),
        ),
        ({"model": EMBEDDED, "endpoint": ENDPOINT}, ("embedded", "bm25")),  # and then refused
        ({"model": BM25, "lexical": EMBEDDED}, ("model", "lexical model")),  # words of the other side mean nothing
    ],
)
def test_settings_choose_a_kind_for_each_side(
    settings: dict[str, Any], kinds: tuple[str | None, str | None]
) -> None:
    assert chosen(**settings) == kinds


def test_every_word_belongs_to_one_kind() -> None:
    for leg, words in (("dense", DENSE_WORDS), ("lexical", LEXICAL_WORDS)):
        claimed = [word for kind in BUILT_IN if kind.leg == leg for word in kind.words]
        assert len(claimed) == len(set(claimed))
        assert {*words} - {NONE, PRECOMPUTED} <= {*claimed}
    assert frozenset[str]().union(*(kind.settings for kind in BUILT_IN)) == NOT_FOR_ALL
    assert set(EncoderSettings.model_fields) >= NOT_FOR_ALL


@pytest.mark.usefixtures("toys")
def test_a_kind_from_outside_encodes_beside_the_packages_own() -> None:
    encoder = load_encoder(EncoderSettings(model="lengths", max_tokens=3))
    assert isinstance(encoder, MixedEncoder)
    assert isinstance(encoder.lexical_encoder, Bm25Encoder)
    dense = encoder.encode_documents(["a", "a longer text"]).dense
    np.testing.assert_array_equal(dense, Lengths(3).encode_queries(["b", "abc"]).dense)  # type: ignore[arg-type]
    both = load_encoder(EncoderSettings(model="lengths", lexical="letters")).encode_queries(["abc"])
    assert both.lexical is not None
    assert both.lexical.row(0)[0].tolist() == [ord("a")]


@pytest.mark.usefixtures("toys")
def test_a_kind_from_outside_is_held_to_its_settings() -> None:
    for settings in ({"precision": "f32"}, {"task": "find"}, {"endpoint": ENDPOINT}):
        with pytest.raises(ConfigError, match=r"encoder\.model=lengths"):
            load_encoder(EncoderSettings(**{"model": "lengths", **settings}))


@pytest.mark.usefixtures("toys")
def test_a_kind_from_outside_is_listed_and_checked(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("encoder: {model: lengths, lexical: letters}")
    arguments = ["--config", str(tmp_path / "config.yaml"), "models", "--check", "--json"]
    found = json.loads(CliRunner().invoke(cli, arguments).stdout)
    assert found["kinds"][-1]["name"] == "lengths"
    assert [(side["kind"], side["fingerprint"]["kind"]) for side in found["configured"]["sides"]] == [
        ("lengths", "lengths"),
        ("first letters", "first letters"),
    ]
    assert found["configured"]["check"]["dimension"] == 2


def test_a_kind_that_is_unregistered_is_a_model_that_is_not_there(toys: None) -> None:
    unregister(LENGTHS)
    unregister(LENGTHS)  # a second time changes nothing
    with pytest.raises(ConfigError, match="there is no folder lengths"):
        load_encoder(EncoderSettings(model="lengths"))


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"words": ()}, "give it words"),
        ({"words": ("lengths",)}, "'lengths' has a meaning already"),
        ({"words": ("new", EMBEDDED)}, "'embedded' has a meaning already"),
        ({"words": (NONE,)}, "'none' has a meaning already"),
        (
            {"words": ("new",), "settings": frozenset({"prefix"})},
            "no setting 'prefix' depends on the kind; known: dev",
        ),
    ],
)
def test_a_kind_that_cannot_be_told_from_another_is_refused(change: dict[str, Any], says: str) -> None:
    before = known_kinds()
    with pytest.raises(ConfigError, match=says):
        register(replace(LENGTHS, **change))
    assert known_kinds() == before


def test_only_the_section_compares_names_with_words() -> None:
    """An expression such as `settings.model == "embedded"` or `match settings.model` stands in one module."""

    def compared(node: ast.AST) -> list[ast.expr]:
        if isinstance(node, ast.Compare):
            return [node.left, *node.comparators]
        return [node.subject] if isinstance(node, ast.Match) else []

    found = {
        path.relative_to(shape.ROOT).as_posix()
        for path in shape.modules()
        for node in ast.walk(shape.parsed(path))
        if any(isinstance(side, ast.Attribute) and side.attr in ("model", "lexical") for side in compared(node))
        and (isinstance(node, ast.Match) or {*DENSE_WORDS, *LEXICAL_WORDS} & _texts(node))
    }
    assert found == set()


def _texts(node: ast.AST) -> set[object]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}


@pytest.mark.usefixtures("toys")
def test_a_build_with_a_kind_from_outside_reads_by_itself_whatever_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "WORTH_WORKERS_BYTES", 0)
    (tmp_path / "texts.jsonl").write_text("".join(f'{{"text": "text {n}"}}\n' for n in range(300)))
    (tmp_path / "config.yaml").write_text(
        "{index: index, sources: [{path: texts.jsonl}], encoder: {model: lengths}, ingest: {processes: 2}}"
    )
    assert pipeline.build(tmp_path / "config.yaml").chunks == 300
