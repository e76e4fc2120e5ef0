"""An export with its encoder is searched where the model is not: same hits, same bits, whatever is beside it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.config import Config, EncoderSettings
from pipeline.errors import EncoderError, IncompatibleIndexError
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.local.transformer import TransformerEncoder
from pipeline.transfer.exporting import ModelSource, export
from pipeline.transfer.importing import import_index
from tests.faults import stub
from tests.models import tiny
from tests.support.collection import config_for, write_documents
from tests.support.command_line import run

QUERIES = ["how do I undo a bad build", "되돌리기", "<s> long " + "text about chunks " * 400, "x"]
Built = Callable[[str], Config]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.save_bge_m3(folder / "m3")
    tiny.save_sentence_model(folder / "mean", prompts={"query": "ask: ", "document": "passage: "})
    tiny.save_splade(folder / "splade")
    return folder


ENCODERS: dict[str, dict[str, Any]] = {
    "embedded": {},
    "embedded-english": {"model": "embedded-english"},
    "bge-m3": {"model": "m3", "device": "cpu"},
    "bge-m3 with multi-vectors": {"model": "m3", "device": "cpu", "multivectors": True, "truncate_dim": 16},
    "bge-m3 by torch": {"model": "m3", "device": "cpu", "runtime": "torch"},
    "bge-m3 with bm25": {"model": "m3", "device": "cpu", "lexical": "bm25", "max_tokens": 64},
    "sentence-transformers": {"model": "mean", "device": "cpu"},
    "two models": {"model": "mean", "lexical": "m3", "device": "cpu"},
    "lexical head alone": {"model": "none", "lexical": "m3", "device": "cpu"},
    "bm25": {"model": "none"},
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Built:
    """Builds an index of the sample collection with one of the encoders, once."""
    known: dict[str, Config] = {}

    def build(name: str) -> Config:
        if name not in known:
            base = tmp_path_factory.mktemp("built")
            write_documents(base / "documents")
            for model in ("m3", "mean"):
                shutil.copytree(models / model, base / model)
            known[name] = config_for(base, encoder=ENCODERS[name])
            pipeline.build(known[name])
        return known[name]

    return build


def exported(config: Config, target: Path) -> Any:
    return export(config.index_path, target, model=ModelSource(config.encoder, config.base))


def hits(index: Path, **options: Any) -> Any:
    with pipeline.open_index(index, **options) as opened:
        return [opened.search_many(QUERIES, 6, mode=leg, explain=True) for leg in ("hybrid", *opened.legs)]


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without models: no cache of converted ones, no data of the embedded ones."""
    monkeypatch.setenv("HYBRID_PIPELINE_CACHE", str(tmp_path / "empty-cache"))
    monkeypatch.setenv("HYBRID_PIPELINE_E5", str(tmp_path / "nothing"))
    monkeypatch.setattr("pipeline.models.local.english.PACKAGE", "no_such_package")


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_hits_are_those_of_the_builder(
    tmp_path: Path, built: Built, name: str, request: pytest.FixtureRequest
) -> None:
    config = built(name)
    by_openvino = config.encoder.model_copy(update={"runtime": "auto"})
    expected = hits(config.index_path, encoder=by_openvino, base=config.base)
    report = exported(config, tmp_path / "out.tar.zst")
    assert report.with_model == (name != "bm25")
    request.getfixturevalue("no_models")
    import_index(tmp_path / "out.tar.zst", tmp_path / "index")
    assert hits(tmp_path / "index") == expected
    assert not (tmp_path / "empty-cache").exists()


def test_an_exported_folder_is_searched_and_exported_again(
    tmp_path: Path, built: Built, request: pytest.FixtureRequest
) -> None:
    config = built("bge-m3")
    expected = hits(config.index_path, encoder=config.encoder, base=config.base)
    exported(config, tmp_path / "out")
    exported(config, tmp_path / "first.tar.zst")
    request.getfixturevalue("no_models")
    assert hits(tmp_path / "out") == expected
    export(tmp_path / "out", tmp_path / "second.tar.zst", model=ModelSource())
    assert (tmp_path / "second.tar.zst").read_bytes() == (tmp_path / "first.tar.zst").read_bytes()


def test_multivectors_are_reranked_with_where_none_are_stored(
    tmp_path: Path, built: Built, request: pytest.FixtureRequest
) -> None:
    config = built("bge-m3")
    with pipeline.open_index(config.index_path, encoder=config.encoder, base=config.base) as index:
        expected = index.search_many(QUERIES, 4, rerank="multivectors")
    exported(config, tmp_path / "out")
    request.getfixturevalue("no_models")
    with pipeline.open_index(tmp_path / "out") as index:
        assert index.search_many(QUERIES, 4, rerank="multivectors") == expected


def test_settings_of_the_query_host_count_where_they_may(
    tmp_path: Path, built: Built, models: Path, request: pytest.FixtureRequest
) -> None:
    """The same model is the one that came along; precision is the host's; another model is looked for."""
    config = built("bge-m3")
    exported(config, tmp_path / "out")
    request.getfixturevalue("no_models")
    same = {"model": "m3", "device": "cpu", "precision": "f32"}
    with pipeline.open_index(tmp_path / "out", encoder=same) as index:
        assert index.search("rank fusion")
        assert index.encoder.runtime.precision == "f32"
    with pytest.raises(IncompatibleIndexError, match="dense max_tokens"):
        pipeline.open_index(tmp_path / "out", encoder=same | {"max_tokens": 99}, base=models)
    with pipeline.open_index(tmp_path / "out", encoder=same | {"runtime": "torch"}, base=models) as index:
        assert index.encoder.runtime.name == "torch"


def test_a_damaged_encoder_is_refused(tmp_path: Path, built: Built) -> None:
    config = built("bge-m3")
    exported(config, tmp_path / "out")
    folder = manifests.model_folder(tmp_path / "out", store.live_manifest(tmp_path / "out")) / "dense"  # type: ignore[arg-type]
    for name in ("model.bin", "tokens.json", "encoder.json", "embeddings.npy", "model.xml"):
        sound = (folder / name).read_bytes()
        for spoilt in (sound[:-1], b""):
            (folder / name).write_bytes(spoilt)
            with pytest.raises(EncoderError, match=r"dense.*(export the index again|delete that folder)"):
                hits(tmp_path / "out")
        (folder / name).write_bytes(sound)
    assert hits(tmp_path / "out")


def test_what_only_its_library_runs_stays_at_home(tmp_path: Path, models: Path) -> None:
    write_documents(tmp_path / "documents")
    config = config_for(tmp_path, encoder={"model": "none", "lexical": str(models / "splade"), "device": "cpu"})
    pipeline.build(config)
    with pytest.raises(EncoderError, match=r"splade runs by sentence-transformers only.*export without the model"):
        exported(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_encoder_that_is_not_the_index_s_is_not_taken_along(tmp_path: Path, built: Built) -> None:
    config = built("bge-m3")
    other = ModelSource(EncoderSettings(model="embedded-english"))
    with pytest.raises(IncompatibleIndexError, match="dense"):
        export(config.index_path, tmp_path / "out", model=other)
    stub.build_two_generations(tmp_path)
    with pytest.raises(IncompatibleIndexError, match="application's own"):
        export(stub.stub_config(tmp_path).index_path, tmp_path / "out", model=ModelSource())


def test_encoders_stay_as_long_as_a_generation_or_a_reader_needs_them(tmp_path: Path, built: Built) -> None:
    index = tmp_path / "index"
    for name in ("bge-m3", "sentence-transformers"):
        exported(built(name), tmp_path / name)
    import_index(tmp_path / "bge-m3", index)
    expected = hits(index)
    reader = pipeline.open_index(index)
    import_index(tmp_path / "sentence-transformers", index, new_encoder=True, retain=1)
    assert len(list((index / "models").iterdir())) == 2, "the reader has not loaded its encoder yet"
    assert [reader.search_many(QUERIES, 6, mode=leg, explain=True) for leg in ("hybrid", *reader.legs)] == expected
    reader.close()
    del reader
    with store.lock(index):
        store.collect_garbage(index, 1)
    (left,) = (index / "models").iterdir()
    assert left == manifests.model_folder(index, manifests.load(index, 2))


def test_a_damaged_or_missing_encoder_is_brought_by_the_next_import(tmp_path: Path, built: Built) -> None:
    config = built("bge-m3")
    export(config.index_path, tmp_path / "bare")
    exported(config, tmp_path / "out")
    index = tmp_path / "index"
    import_index(tmp_path / "bare", index)
    assert not (index / "models").exists()
    assert import_index(tmp_path / "out", index).published
    assert not import_index(tmp_path / "out", index).published
    assert not import_index(tmp_path / "bare", index).published
    (spoilt,) = index.glob("models/*/dense/model.bin")
    spoilt.write_bytes(spoilt.read_bytes()[::-1])
    assert import_index(tmp_path / "out", index).published
    assert spoilt.read_bytes() == (tmp_path / "out" / spoilt.relative_to(index)).read_bytes()


def test_the_record_of_an_encoder_holds_all_that_its_model_says(tmp_path: Path, built: Built) -> None:
    for name, precision in itertools.product(("bge-m3", "sentence-transformers"), ("auto", "f32")):
        config = built(name)
        settings = config.encoder.model_copy(update={"precision": precision})
        exported(config, tmp_path / "out")
        whole = load_encoder(settings, base=config.base)
        (bundled,) = (tmp_path / "out/models").iterdir()
        found = load_encoder(settings, base=tmp_path, bundled=bundled)
        whole, found = (getattr(one, "dense_encoder", one) for one in (whole, found))
        assert isinstance(whole, TransformerEncoder)
        assert isinstance(found, TransformerEncoder)
        assert found.spec == whole.spec
        assert (found.dense_fingerprint, found.lexical_fingerprint) == (
            whole.dense_fingerprint,
            whole.lexical_fingerprint,
        )
        assert (found.runtime, found.batch_tokens) == (whole.runtime, whole.batch_tokens)
        assert found.describe_tokens(tiny.QUERY) == whole.describe_tokens(tiny.QUERY)
        shutil.rmtree(tmp_path / "out")


def test_the_command(tmp_path: Path, built: Built) -> None:
    config = built("embedded")
    (config.base / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    done = run(config.base, "export", str(tmp_path / "out.tar.zst"), "--with-model")
    assert done.exit_code == 0, done.output
    assert "its encoder included" in done.stdout
    done = run(tmp_path, "import", "out.tar.zst", "index", "--json")
    assert '"with_model": true' in done.stdout
    found = run(tmp_path, "query", "되돌리기", "--index", "index")
    assert found.exit_code == 0, found.output
    bare = built("bm25")
    done = run(tmp_path, "export", "bare", "--with-model", "--index", str(bare.index_path))
    assert "no model that could be taken along" in done.stdout
