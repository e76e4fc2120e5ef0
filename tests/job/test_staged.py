"""A refused build: the live generation is untouched, the staged one can be searched, published, or superseded."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.errors import CorruptIndexError, GateRefusedError, IndexNotFoundError, IndexStoreError
from pipeline.index import candidate, store
from pipeline.index import manifest as manifests
from pipeline.index.upkeep.verify import verify
from pipeline.progress import Progress, silent
from pipeline.records import Encoded
from tests.faults import stub
from tests.support.collection import TEXTS, config_for, write_documents

EXPECT = {"expect": [{"query": "publish the generation before", "documents": ["en/rollback.md"], "k": 1}]}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """One good generation; then the document that the gate expects loses its words."""
    write_documents(tmp_path / "documents")
    config = config_for(tmp_path, gate=EXPECT, query={"mode": "lexical"})
    assert stub.build(config).measures == {"expected": 1.0}
    write_documents(tmp_path / "documents", {"en/rollback.md": "Nothing of use.", "new.md": "A new document."})
    return config


def found(config: Config, generation: int | str | None = None) -> list[str]:
    with stub.open_index(config.index_path, generation=generation, settings=config.query) as index:  # type: ignore[arg-type]
        return [hit.doc_id for hit in index.search("new document", 3)]


def refuse(config: Config, **options: Any) -> None:
    with pytest.raises(
        GateRefusedError, match=r"refused generation 2: expected is 0\.0000.*'publish the gen.*force"
    ):
        stub.build(config, **options)


def test_a_staged_generation_can_be_verified(config: Config) -> None:
    with pytest.raises(IndexNotFoundError, match="no generation is staged"):
        verify(config.index_path, "staged")
    refuse(config)
    report = verify(config.index_path, "staged", deep=True)
    assert report.ok
    assert (report.generation, report.chunks) == (2, candidate.load(config.index_path).chunks)
    path = config.index_path / "staging" / "manifest-00000002.json"
    path.write_bytes(path.read_bytes().replace(b'"documents": ', b'"documents": 1'))
    (problem,) = verify(config.index_path, "staged").problems
    assert problem.file == "staging/manifest-00000002.json"
    assert verify(config.index_path).ok


def test_a_refused_build_is_staged_and_can_be_searched(config: Config) -> None:
    live = manifests.manifest_path(config.index_path, 1).read_bytes()
    before = found(config)
    refuse(config)
    assert manifests.generations(config.index_path) == [1]
    assert manifests.manifest_path(config.index_path, 1).read_bytes() == live
    assert verify(config.index_path, deep=True).ok
    assert found(config) == before
    assert found(config, "staged")[0] == "new.md"
    assert candidate.load(config.index_path).statistics.measures == {"expected": 0.0}


def test_collection_keeps_what_is_staged(config: Config) -> None:
    refuse(config)
    with store.lock(config.index_path):
        assert store.collect_garbage(config.index_path, 1) == []
    assert found(config, "staged")[0] == "new.md"


def test_publish_asks_the_gate_again_and_obeys_force(config: Config) -> None:
    refuse(config)
    staged = candidate.load(config.index_path)
    with pytest.raises(GateRefusedError, match="generation 2"):
        stub.publish(config)
    published = stub.publish(config, force=True)
    assert published.note.startswith("published by force: expected is 0.0000")
    assert published.segments == staged.segments
    assert manifests.generations(config.index_path) == [1, 2]
    assert found(config)[0] == "new.md"
    assert verify(config.index_path, deep=True).ok
    with pytest.raises(IndexNotFoundError, match="no generation is staged"):
        stub.publish(config)
    assert not stub.build(config).published


def test_publish_without_force_after_the_gate_was_changed(config: Config) -> None:
    refuse(config)
    published = stub.publish(config.model_copy(update={"gate": type(config.gate)()}))
    assert (published.generation, published.note, published.statistics.refusals) == (2, "", ())


class Watched(stub.HashedEncoder):
    """Knows which stage of a build it is in: in `encode` it has nothing to do."""

    stage = ""

    def begins(self, description: str, total: int | None, unit: str) -> Progress:
        self.stage = description
        return silent(description, total, unit)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        assert self.stage != "encode", "encoded again"
        return super().encode_documents(texts)


def test_the_next_build_supersedes_what_is_staged_and_encodes_nothing_twice(config: Config) -> None:
    refuse(config)
    write_documents(config.base / "documents", {"newer.md": "A newer document."})
    refuse(config)
    assert "newer.md" in found(config, "staged")
    watched = Watched()
    refuse(config, encoder=stub.encoder(watched), progress=watched.begins)
    write_documents(config.base / "documents", {"en/rollback.md": TEXTS["en/rollback.md"]})
    report = stub.build(config, note="mended")
    assert (report.published, report.generation, report.measures) == (True, 2, {"expected": 1.0})
    assert manifests.load(config.index_path, 2).note == "mended"
    assert candidate.waiting(config.index_path) is None
    assert verify(config.index_path, deep=True).ok


def test_sources_put_back_as_they_were_clear_what_is_staged(config: Config) -> None:
    refuse(config)
    write_documents(config.base / "documents", {"en/rollback.md": TEXTS["en/rollback.md"]})
    (config.base / "documents/new.md").unlink()
    assert not stub.build(config).published
    with pytest.raises(IndexNotFoundError):
        found(config, "staged")


def test_a_staged_generation_that_another_overtook_is_not_published(config: Config) -> None:
    refuse(config)
    store.rollback(config.index_path, 1)
    with pytest.raises(IndexStoreError, match="staged to follow generation 1, but 2 is live"):
        stub.publish(config, force=True)
    with store.lock(config.index_path):
        assert len(store.collect_garbage(config.index_path, 3)) == 1


def test_a_damaged_staged_generation_is_not_published(config: Config) -> None:
    refuse(config)
    live = {entry.segment_id for entry in manifests.load(config.index_path, 1).segments}
    (entry,) = (e for e in candidate.load(config.index_path).segments if e.segment_id not in live)
    path = config.index_path / "segments" / entry.segment_id / "dense-rows.npy"
    path = path if path.exists() else path.with_name("dense.faiss")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptIndexError, match="checksum"):
        stub.publish(config, force=True)
    assert manifests.generations(config.index_path) == [1]


def test_the_first_build_can_be_refused_too(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents", {"a.md": "Apples."})
    config = config_for(tmp_path, gate=EXPECT)
    with pytest.raises(GateRefusedError, match="generation 1"):
        stub.build(config)
    assert manifests.generations(config.index_path) == []
    assert stub.publish(config, force=True).generation == 1


def test_the_live_generation_is_measured_when_the_questions_are_new(config: Config) -> None:
    """It has no record of these queries, so it is asked now: 1.0 before, 0.0 after."""
    (config.base / "q.tsv").write_text("1\tpublish the generation before it\n")
    (config.base / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\ten/rollback.md\t1\n")
    gate = {"queries": "q.tsv", "qrels": "qrels.tsv", "max_drop": {"P@1": 0.1}}
    changed = config_for(config.base, gate=gate, query={"mode": "lexical"}, encoder={"multivectors": False})
    with pytest.raises(
        GateRefusedError, match=r"P@1 fell from 1\.0000 to 0\.0000, by more than gate\.max_drop=0\.1"
    ):
        stub.build(changed)


def run(folder: Path, *arguments: str) -> Result:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(cli, list(arguments), obj=stub.options())
    finally:
        os.chdir(before)


def test_the_command_line(config: Config) -> None:
    (config.base / "config.yaml").write_text(
        json.dumps(
            {"index": "index", "sources": [{"path": "documents"}], "gate": EXPECT, "query": {"mode": "lexical"}}
        )
    )
    refused = run(config.base, "build")
    assert refused.exit_code == 6
    assert refused.stderr.startswith("error: index: the gate refused generation 2: expected is 0.0000")
    assert "rejected" not in refused.stderr
    (config.base / "documents/bad.md").write_bytes(b"\x00")
    assert run(config.base, "build").stderr.endswith(
        "; rejected documents are listed in index/rejects/00000002.jsonl\n"
    )
    status = json.loads(run(config.base, "status", "--json").stdout)
    assert (status["generation"], status["refused"]["generation"]) == (1, 2)
    assert "the gate refused generation 2" in run(config.base, "status").stdout
    hits = json.loads(run(config.base, "query", "new document", "--generation", "staged", "--json").stdout)
    assert (hits["generation"], hits["hits"][0]["doc_id"]) == (2, "new.md")
    assert run(config.base, "query", "x", "--generation", "newest").exit_code == 2
    assert run(config.base, "publish").exit_code == 6
    assert run(config.base, "publish", "--force").stdout.startswith("published generation 2: 7 documents")
    assert run(config.base, "publish", "--force").exit_code == 1
    listed = [json.loads(line) for line in run(config.base, "generations", "--json").stdout.splitlines()]
    assert [(one["generation"], one["measures"]) for one in listed] == [
        (2, {"expected": 0.0}),
        (1, {"expected": 1.0}),
    ]
