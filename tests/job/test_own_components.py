"""An encoder and a chunker of an application's own, passed as objects: built with, searched with, told apart."""

from __future__ import annotations

import copy
import logging
import pickle
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import pipeline
from pipeline.cli import cli
from pipeline.cli.common import Options
from pipeline.config import Config, EncoderSettings
from pipeline.errors import ConfigError, EncoderError, GateRefusedError, IncompatibleIndexError, IndexStoreError
from pipeline.index import manifest as manifests
from pipeline.ingest.cutting.contract import chunks_of
from pipeline.job import build as builder
from pipeline.job.options import BuildOptions, IngestOptions
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.records import Chunk, Document, Encoded, Fingerprint, SparseRows
from tests.faults import processes
from tests.support.collection import config_for, write_documents

FRUIT = ("apple", "pear", "plum")


class Fruit:
    """Counts fruit: dense and lexical alike."""

    dense_fingerprint = Fingerprint.of(kind="fruit", version=1)
    lexical_fingerprint = Fingerprint.of(kind="fruit words", version=1)
    dimension = len(FRUIT)
    gives_multivectors = False
    lexical_scoring = LexicalScoring("dot")
    runtime = Runtime("python", "cpu", "f32")

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        counts = np.array([[text.count(name) for name in FRUIT] for text in texts], np.float32).reshape(-1, 3)
        rows = [{i: float(n) for i, n in enumerate(row) if n} for row in counts.tolist()]
        dense = counts + np.float32(0.01)
        return Encoded(dense / np.linalg.norm(dense, axis=1, keepdims=True), SparseRows.from_dicts(rows))

    encode_queries = encode_documents

    def describe_tokens(self, text: str) -> dict[int, str]:
        return {i: name for i, name in enumerate(FRUIT) if name in text}


class Lines:
    """A chunk for each line."""

    fingerprint = Fingerprint.of(kind="lines")

    def chunk(self, document: Document) -> Iterator[Chunk]:
        return chunks_of(document, [found.span() for found in re.finditer(r"[^\n]+", document.text)])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    texts = {"a.txt": "an apple\ntwo pears, a pear", "b.txt": "a plum\nan apple and a plum"}
    write_documents(tmp_path / "documents", texts)
    return config_for(tmp_path)


@pytest.fixture
def built(config: Config) -> Config:
    pipeline.build(config, encoder=Fruit(), chunker=Lines())
    return config


def texts(index: pipeline.Index, query: str = "pear") -> list[str]:
    return [hit.text for hit in index.search(query, mode="lexical")]


def test_chunks_and_scores_are_those_of_the_objects(built: Config) -> None:
    with pipeline.open_index(built.index_path, encoder=Fruit()) as index:
        assert index.manifest.chunks == 4
        (hit,) = index.search("pear", mode="lexical", explain=True)
        assert (hit.chunk_id, hit.text, hit.score) == ("a.txt#1", "two pears, a pear", 2.0)
        assert [match.token for match in hit.matches] == ["pear"]
        assert index.search("plum")[0].text == "a plum"
    assert not pipeline.build(built, encoder=Fruit(), chunker=Lines()).published


def test_an_encoder_alone_takes_chunks_of_the_configured_size(config: Config) -> None:
    pipeline.build(config, encoder=Fruit())
    with pipeline.open_index(config.index_path, encoder=Fruit()) as index:
        assert texts(index) == ["an apple\ntwo pears, a pear"]


def test_a_chunker_alone_leaves_the_encoder_to_the_settings(tmp_path: Path, config: Config) -> None:
    config = config_for(tmp_path, encoder={"model": "none"})
    pipeline.build(config, chunker=Lines())
    with pipeline.open_index(config.index_path) as index:
        assert texts(index) == ["two pears, a pear"]


def test_every_half_of_a_build_takes_them(config: Config) -> None:
    plan = builder.plan(config, encoder=Fruit(), chunker=Lines())
    assert (plan.changes.added, plan.chunks) == (2, 4)
    builder.ingest(config, encoder=Fruit(), chunker=Lines())
    with pytest.raises(IndexStoreError, match="staged with other settings"):
        builder.encode(config, encoder=Fruit())
    gated = config_for(config.base, gate={"expect": [{"query": "pear", "documents": ["b.txt"], "k": 1}]})
    with pytest.raises(GateRefusedError):
        builder.encode(gated, encoder=Fruit(), chunker=Lines())
    with pytest.raises(GateRefusedError):
        builder.publish(gated, encoder=Fruit())
    assert builder.publish(config, encoder=Fruit()).generation == 1


def test_without_the_encoder_one_line_says_that_it_must_be_passed(built: Config) -> None:
    said = (
        f"{built.index_path}: built with an encoder of an application's own (dense fruit, lexical fruit words), "
        "which no settings make; pass the same encoder to `open_index(path, encoder=…)`"
    )
    for given in ({}, {"encoder": built.encoder}, {"encoder": {"model": "embedded"}}):
        with pytest.raises(IncompatibleIndexError) as caught:
            pipeline.open_index(built.index_path, **given)  # type: ignore[arg-type]
        assert str(caught.value) == said
    (built.base / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    for command in (
        ["query", "pear", "--index", str(built.index_path)],
        ["--config", str(built.base / "config.yaml"), "query", "pear"],
    ):
        result = CliRunner().invoke(cli, command)
        assert (result.exit_code, result.stderr) == (2, f"error: {said}\n")
        shown = CliRunner().invoke(cli, [*command, "--mode", "lexical"], obj=Options(encoder=Fruit()))
        assert (shown.exit_code, "two pears" in shown.stdout) == (0, True), shown.output


def test_other_settings_than_the_recorded_are_told_field_by_field(built: Config) -> None:
    with pytest.raises(IncompatibleIndexError, match=r"index → configured\): dense kind: fruit → \(absent\)"):
        pipeline.open_index(built.index_path, encoder={"model": "none"})


def test_settings_that_make_the_same_encoder_open_its_index(config: Config) -> None:
    """An application that keeps one loaded for all its builds shuts nobody out."""
    config = config_for(config.base, encoder={"model": "none"})
    pipeline.build(config, encoder=load_encoder(config.encoder))
    with pipeline.open_index(config.index_path) as index:
        assert texts(index) == ["an apple\ntwo pears, a pear"]


def test_an_ordinary_manifest_records_what_it_always_did(config: Config) -> None:
    config = config_for(config.base, encoder={"model": "none"})
    pipeline.build(config)
    settings = EncoderSettings.model_validate({"model": "none", "bm25": {"languages": ["en"]}})  # that were found
    assert manifests.load(config.index_path, 1).encoder == settings.model_dump(mode="json")


def test_another_object_is_refused_field_by_field(built: Config) -> None:
    class Later(Fruit):
        dense_fingerprint = Fingerprint.of(kind="fruit", version=2)

    with pytest.raises(IncompatibleIndexError, match=r"than the one passed .*dense version: 1 → 2; pass the one"):
        pipeline.open_index(built.index_path, encoder=Later())
    with pytest.raises(IncompatibleIndexError, match=r"dense version: 1 → 2.*--full"):
        pipeline.build(built, encoder=Later(), chunker=Lines())
    with pipeline.open_index(built.index_path, encoder=Fruit()) as index:
        assert pipeline.build(built, encoder=Later(), chunker=Lines(), full=True).published
        with pytest.raises(IncompatibleIndexError, match="version: 2 → 1"):
            index.refresh()
        assert texts(index) == ["two pears, a pear"]


def test_a_refresh_keeps_the_object(built: Config) -> None:
    fruit = Fruit()
    with pipeline.open_index(built.index_path, encoder=fruit) as index:
        write_documents(built.base / "documents", {"c.txt": "pear pear pear"})
        pipeline.build(built, encoder=index.encoder, chunker=Lines())
        with index.refresh() as live:
            assert live.encoder is index.encoder
            assert live.encoder.own is fruit
            assert texts(live) == ["pear pear pear", "two pears, a pear"]
            assert texts(index) == ["two pears, a pear"]


def test_a_pickled_index_takes_the_encoder_along(built: Config) -> None:
    with (
        pipeline.open_index(built.index_path, encoder=Fruit()) as index,
        pickle.loads(pickle.dumps(index)) as again,
        copy.copy(index) as copied,
    ):
        assert texts(again) == texts(copied) == texts(index)
        assert copied.encoder is index.encoder
        assert type(again.encoder.own) is Fruit


def test_an_encoder_that_cannot_be_pickled_says_so_and_can_be_copied(built: Config) -> None:
    class Locked(Fruit):
        def __init__(self) -> None:
            self.lock = threading.Lock()

    with pipeline.open_index(built.index_path, encoder=Locked()) as index:
        with pytest.raises(
            EncoderError, match=r"index: an index is pickled with the encoder .*; give its class a"
        ) as e:
            pickle.dumps(index)
        assert len(str(e.value).splitlines()) == 1
        with copy.copy(index) as copied:
            assert copied.encoder.own is index.encoder.own


def test_a_forked_child_goes_on_with_the_object(built: Config) -> None:
    fruit = Fruit()
    with pipeline.open_index(built.index_path, encoder=fruit) as index:
        expected = texts(index)

        def child() -> None:
            assert index.encoder._encoder.get() is fruit
            assert texts(index) == expected
            with index.refresh() as live:
                assert texts(live) == expected

        assert processes.run(child) == processes.Ending(None, None)
        assert texts(index) == expected


def test_it_encodes_in_this_process_whatever_the_devices(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    class Counted(Fruit):
        texts = 0

        def encode_documents(self, texts: Sequence[str]) -> Encoded:
            self.texts += len(texts)
            return super().encode_documents(texts)

    encoder = Counted()
    spread = config_for(config.base, encode={"devices": ["cpu", "cpu"]})
    with caplog.at_level(logging.WARNING):
        pipeline.build(spread, encoder=encoder, chunker=Lines())
    assert encoder.texts >= 4
    assert "encode.devices is not used" in caplog.text


def test_no_multivectors_are_made_up_for_it(built: Config) -> None:
    with (
        pipeline.open_index(built.index_path, encoder=Fruit()) as index,
        pytest.raises(EncoderError, match=r"encoder of this index \(passed as an object\) gives none"),
    ):
        index.search("pear", rerank="multivectors")


class Half:
    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        return Encoded()


class Nameless(Fruit):
    dense_fingerprint = "fruit"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        (Fruit, r"encoder=<class '.*'>: is a class; pass an object of it"),
        (
            5,
            r"encoder=5: give (an object that offers dense_finger.*or leave it out|an encoder, EncoderSettings)",
        ),
        (Half(), r"encoder=<.*>: lacks dense_fingerprint, .*describe_tokens, which every encoder offers"),
        (Nameless(), r"encoder=<.*>: its fingerprints are \('fruit', .*Fingerprint\.of"),
    ],
)
def test_what_is_no_encoder_is_refused(built: Config, encoder: Any, says: str) -> None:
    for call in (
        lambda: pipeline.build(built, encoder=encoder),
        lambda: pipeline.open_index(built.index_path, encoder=encoder),
    ):
        with pytest.raises(ConfigError, match=says):
            call()


@pytest.mark.parametrize(
    ("chunker", "says"),
    [(Lines, "is a class; pass an object"), (5, r"chunker=5: give an object with `chunk\(document\)`")],
)
def test_what_is_no_chunker_is_refused(config: Config, chunker: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        pipeline.build(config, chunker=chunker)


def test_options_may_be_one_record_which_keywords_change(config: Config) -> None:
    config = config_for(config.base, encoder={"model": "none"})
    options = BuildOptions(note="spring", full=np.bool_(True))  # type: ignore[arg-type]
    assert options.full is True
    pipeline.build(config, options=options)
    pipeline.build(config, options=options, note="autumn")
    assert [manifests.load(config.index_path, number).note for number in (1, 2)] == ["spring", "autumn"]
    assert builder.ingest(config, options=options).staged.full
    with pytest.raises(ConfigError, match="full=1: give True or False"):
        BuildOptions(full=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"options=.*give BuildOptions, or each option by its own name"):
        pipeline.build(config, options=IngestOptions())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="note"):
        builder.ingest(config, note="x")  # type: ignore[call-arg]
