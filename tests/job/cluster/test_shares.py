"""Workers that share a plan: together they do what one machine does, in any order, twice, or interrupted."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.encode import shard_plan
from pipeline.encode.shard_plan import ShardPlan, Terms
from pipeline.errors import ConfigError, EncoderError, IncompatibleIndexError, IndexStoreError
from pipeline.index import staging, store
from pipeline.job.cluster import shares
from pipeline.job.cluster.shares import Share, ShareReport
from pipeline.records import Encoded
from tests.faults import stub
from tests.job.cluster.fake_cluster import content
from tests.support.collection import config_for, write_documents


class Broken(stub.HashedEncoder):
    """Must not be asked."""

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        raise AssertionError("encoded")


def staged(folder: Path) -> Config:
    """24 texts in shards of four, staged and not encoded."""
    stub.write_texts(folder, 0)
    config = stub.stub_config(folder)
    stub.ingest(config)
    return config


def plan(config: Config) -> ShardPlan:
    return shares.plan_shards(config, encoder=stub.encoder(), chunker=stub.OneChunk())


def work(config: Config, share: str) -> ShareReport:
    return shares.encode_share(config, Share.parsed(share), encoder=stub.encoder())


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index that one machine makes of the texts of `staged`."""
    folder = tmp_path_factory.mktemp("local")
    stub.write_texts(folder, 0)
    stub.build(stub.stub_config(folder))
    return folder / "index"


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_shares_in_any_order_and_number_make_the_index_of_one_machine(
    tmp_path_factory: pytest.TempPathFactory, local: Path, data: st.DataObject
) -> None:
    config = staged(tmp_path_factory.mktemp("shares"))
    assert len(plan(config).shards) == 6
    count = data.draw(st.integers(1, 8), "workers")
    order = data.draw(st.permutations([*range(count), *data.draw(st.lists(st.integers(0, count - 1)), "again")]))
    done = [work(config, f"{number}/{count}") for number in order]
    assert sum(report.chunks for report in done) == 24, "each text is encoded once, however often a share is run"
    report = stub.encode(config, commit_only=True)
    assert (report.chunks, report.encoded_chunks, report.reused_chunks) == (24, 0, 24)
    assert content(config.index_path) == content(local)
    assert stub.answers(config.index_path) == stub.answers(local)
    assert not (config.index_path / staging.STAGING).exists()


def test_shares_of_a_plan_are_all_of_it_and_disjoint(tmp_path: Path) -> None:
    shards = plan(staged(tmp_path)).shards
    for count in (1, 2, 4, 9):
        parts = [Share(number, count).of_plan(ShardPlan(Terms({}), shards)) for number in range(count)]
        assert sorted((s for part in parts for s in part), key=shards.index) == list(shards)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def _race(folder: str, barrier: Any) -> None:
    barrier.wait()
    work(stub.stub_config(Path(folder)), "0/1")


def test_workers_with_the_same_share_at_the_same_time_do_no_harm(tmp_path: Path, local: Path) -> None:
    config = staged(tmp_path)
    plan(config)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_race, args=(str(tmp_path), barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    shards = config.index_path / staging.STAGING / "shards"
    assert [path.name for path in shards.iterdir() if path.name.startswith(".")] == [], "nothing half done is left"
    stub.encode(config, commit_only=True)
    assert content(config.index_path) == content(local)


def test_what_another_worker_writes_just_after_a_look_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = staged(tmp_path)
    planned = plan(config)
    shard, original, written = planned.shards[0], staging.holds, []
    place = staging.shard_folder(config.index_path, shard.key)

    def encode() -> bool:
        return shard_plan.encode_planned(config.index_path, planned.terms, shard, stub.encoder(), config.segments)

    def looked(folder: Path, prints: Any) -> bool:
        """The shard is not there; and then the other worker writes it."""
        found = original(folder, prints)
        if not written:
            written.append(found)
            assert encode()
            written.append(place.stat().st_ino)
        return found

    monkeypatch.setattr(staging, "holds", looked)
    assert not encode()
    assert written == [False, place.stat().st_ino]


def test_a_worker_takes_no_lock_and_a_commit_does(tmp_path: Path) -> None:
    config = staged(tmp_path)
    plan(config)
    with store.lock(config.index_path):
        assert work(config, "0/2") == ShareReport(3, 12, 0)


def test_a_commit_names_what_is_missing_and_encodes_nothing(tmp_path: Path, local: Path) -> None:
    config = staged(tmp_path)
    missing = plan(config).shards[1::2]
    work(config, "0/2")
    with pytest.raises(IndexStoreError) as error:
        stub.encode(config, commit_only=True, encoder=stub.encoder(Broken()))
    assert f"3 shards missing: {', '.join(shard.key for shard in missing)}; run the workers again" in str(
        error.value
    )
    assert work(config, "0/2") == ShareReport(0, 0, 3), "what was encoded is kept"
    assert stub.encode(config).encoded_chunks == 12, "without --commit this machine encodes the rest"
    assert content(config.index_path) == content(local)


def test_damaged_shards_are_missing_and_are_encoded_again(tmp_path: Path, local: Path) -> None:
    config = staged(tmp_path)
    made = plan(config)
    work(config, "0/1")
    first, second = (staging.shard_folder(config.index_path, shard.key) for shard in made.shards[:2])
    path = first / "dense.npy"
    path.write_bytes(path.read_bytes()[:-1])
    for file in second.iterdir():  # sound in itself, but of other texts than its name says
        file.write_bytes((staging.shard_folder(config.index_path, made.shards[2].key) / file.name).read_bytes())
    assert [shard.key for shard in shard_plan.missing(config.index_path, made)] == [first.name, second.name]
    assert work(config, "0/1") == ShareReport(2, 8, 4)
    assert shard_plan.missing(config.index_path, made) == []
    stub.encode(config, commit_only=True)
    assert content(config.index_path) == content(local)


def test_a_worker_of_other_terms_is_refused_before_it_encodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = staged(tmp_path)
    plan(config)
    broken = stub.encoder(Broken())

    def refused(config: Config, encoder: Any, says: str) -> None:
        with pytest.raises(IncompatibleIndexError, match=says):
            shares.encode_share(config, Share(0, 1), encoder=encoder)

    other = stub.stub_config(tmp_path, segments={"max_chunks": 12, "multivectors": "fp16"})
    refused(other, broken, r"\(planned → here\).*segments\.multivectors: int8 → fp16.*multivector: precision: int8")
    refused(stub.stub_config(tmp_path, chunking={"max_tokens": 99}), broken, r"chunking\.max_tokens: 254 → 99")
    refused(stub.stub_config(tmp_path, encoder={"model": "none"}), None, r"dense: kind: stub → \(absent\)")
    monkeypatch.setattr(shard_plan.metadata, "version", lambda name: "0.0.0")
    refused(config, broken, r"package: version: \S+ → 0\.0\.0")
    assert not (config.index_path / staging.STAGING / "shards").exists()


def test_a_worker_takes_the_devices_it_has(tmp_path: Path) -> None:
    """What an encoder leaves open is taken from the plan, and where things stand is each machine's own affair."""
    write_documents(tmp_path / "documents", {"a.txt": "Der Aufbau des Index schlug heute Nacht fehl. " * 3})
    config = config_for(tmp_path, encoder={"model": "none"})
    from pipeline.job import build as builder

    builder.ingest(config)
    shares.plan_shards(config)
    elsewhere = config.model_copy(update={"encode": config.encode.model_copy(update={"shard_chunks": 1})})
    assert shares.encode_share(elsewhere, Share(0, 1)) == ShareReport(1, 1, 0)
    assert builder.encode(config, commit_only=True).chunks == 1


def test_a_worker_left_behind_by_another_build_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = staged(tmp_path)
    plan(config)

    class Late(stub.HashedEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Encoded:
            staging.clear(config.index_path)
            return super().encode_documents(texts)

    with pytest.raises(IndexStoreError, match="though it is planned; was the index built or ingested again"):
        shares.encode_share(config, Share(0, 1), encoder=stub.encoder(Late()))
    with pytest.raises(IndexStoreError, match="no encoding is planned"):
        work(config, "0/1")
    stub.ingest(config)
    with pytest.raises(IndexStoreError, match="no encoding is planned"):
        work(config, "0/1")


def test_an_answer_that_is_no_good_is_not_written(tmp_path: Path) -> None:
    config = staged(tmp_path)
    plan(config)

    class Garbage(stub.HashedEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Encoded:
            encoded = super().encode_documents(texts)
            assert encoded.dense is not None
            encoded.dense[0, 0] = float("nan")
            return encoded

    with pytest.raises(EncoderError, match="NaN or infinite values for 1 texts"):
        shares.encode_share(config, Share(0, 1), encoder=stub.encoder(Garbage()))
    assert staging.shard_folders(config.index_path) == []


@pytest.mark.parametrize("text", ["", "1", "2/2", "5/4", "-1/2", "0/0", "1/2/3", "a/b", "٠/٢", 5, None])
def test_a_share_that_there_is_not_is_refused(text: object) -> None:
    with pytest.raises(ConfigError, match=r"shard=.*give I/N, with I from 0 to N-1"):
        Share.parsed(text)


def command(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(folder / "config.yaml"), *arguments])


def test_the_commands(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text(
        "index: index\nsources: [{path: documents}]\nencoder: {model: none}\nencode: {shard_chunks: 2}\n"
    )
    assert command(tmp_path, "encode", "--shard", "0/2").exit_code == 1
    assert command(tmp_path, "ingest").exit_code == 0
    planned = command(tmp_path, "encode", "--plan")
    assert planned.output == (
        "planned 3 shards with 6 chunks to encode; next: `pipeline encode --shard I/N` on each worker\n"
    )
    assert command(tmp_path, "encode", "--shard", "0/2").output == (
        "share 0/2: encoded 4 chunks in 2 shards; 0 shards were there\n"
    )
    missing = command(tmp_path, "encode", "--commit")
    assert (missing.exit_code, "1 shard missing" in missing.stderr) == (1, True)
    assert command(tmp_path, "encode", "--shard", "1/2").exit_code == 0
    published = command(tmp_path, "encode", "--commit", "--note", "by two")
    assert (published.exit_code, published.output.startswith("published generation 1: 6 documents")) == (0, True)
    for wrong in (
        ["--plan", "--commit"],
        ["--shard", "0/1", "--commit"],
        ["--plan", "--note", "x"],
        ["--shard", "1"],
    ):
        assert command(tmp_path, "encode", *wrong).exit_code == 2, wrong
