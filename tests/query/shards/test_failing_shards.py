"""Shards that are down, of another generation, or answer something else: named, or done without where asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.errors import ConfigError, EncoderError, GenerationGoneError, ServiceError, ShardsFailedError
from pipeline.index import manifest as manifests
from pipeline.index.segment import Segment, write_deletes
from pipeline.query.access import ALL_GROUPS
from pipeline.query.searcher import Index
from pipeline.query.shards import panel
from pipeline.query.shards.messages import Message
from pipeline.query.shards.partition import Share
from pipeline.query.shards.sharded import ShardedIndex, open_shards
from pipeline.records import Hit
from tests.faults import stub
from tests.support.sharded import NearShard, down, front, near_shards

QUERY = "a document about plums"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    stub.write_texts(tmp_path, 0)
    config = stub.stub_config(tmp_path, segments={"max_chunks": 5, "auto_compact": False})
    stub.build(config)
    return config


@pytest.fixture
def sharded(config: Config) -> Iterator[tuple[ShardedIndex, list[NearShard]]]:
    index, shards = front(config.index_path, 3)
    with index:
        yield index, shards


def found(index: Index) -> list[Hit]:
    return index.search(QUERY, 40, fusion="minmax", explain=True)


def test_a_shard_that_is_down_is_an_error_that_names_it(sharded: Any) -> None:
    index, shards = sharded
    shards[1].broken = down
    with pytest.raises(ShardsFailedError, match="shard 1/3: cannot be reached") as caught:
        found(index)
    assert caught.value.shards == {"1/3"}
    with pytest.raises(ShardsFailedError):
        index.attempt(found, partial=False)


def test_without_a_shard_the_answer_is_that_of_an_index_without_its_chunks(config: Config, sharded: Any) -> None:
    index, shards = sharded
    whole = found(index)
    shards[1].broken = down
    hits, missing = index.attempt(found, partial=True)
    assert missing == ("1/3",)
    live = manifests.load(config.index_path, 1)
    entries = list(live.segments)
    for place in Share(1, 3).segments_of(live):
        gone = ~(Segment(config.index_path, entries[place]).deleted or _none(entries[place].chunks))
        entries[place] = write_deletes(config.index_path, entries[place], 2, gone)
    stub.sign(
        config.index_path,
        lambda manifest: _with(manifest, tuple(entries)),
    )
    with stub.open_index(config.index_path, generation=2) as smaller:
        assert hits == found(smaller)
    assert 0 < len(hits) < len(whole)


def _none(chunks: int) -> Any:
    import numpy as np

    return np.zeros(chunks, np.bool_)


def _with(manifest: Any, entries: Any) -> Any:
    import dataclasses

    chunks = sum(entry.chunks - entry.deleted_chunks for entry in entries)
    return dataclasses.replace(manifest, segments=entries, chunks=chunks, documents=chunks)


def test_a_shard_that_comes_back_is_asked_again(sharded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    index, shards = sharded
    whole = found(index)
    shards[0].broken = down
    index.attempt(found, partial=True)
    asked = shards[0].asked
    assert index.attempt(found, partial=True)[1] == ("0/3",)
    assert shards[0].asked == asked, "a shard that failed a moment ago is not waited for again"
    shards[0].broken = None
    later = time.monotonic() + panel.DOWN_SECONDS + 1
    monkeypatch.setattr(panel.time, "monotonic", lambda: later)
    assert index.attempt(found, partial=True) == (whole, ())


def test_all_shards_down_is_an_error_whatever_is_asked(sharded: Any) -> None:
    index, shards = sharded
    for shard in shards:
        shard.broken = down
    with pytest.raises(ShardsFailedError) as caught:
        index.attempt(found, partial=True)
    assert caught.value.shards


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>proxy error</html>",
        Message({}).to_bytes()[:-1],
        Message({"error": "failed", "words": "out of memory"}).to_bytes(),
    ],
)
def test_garbage_is_the_failure_of_the_shard(sharded: Any, answer: bytes) -> None:
    index, shards = sharded
    shards[2].broken = lambda _: answer
    with pytest.raises(ShardsFailedError, match="shard 2/3"):
        found(index)
    assert index.attempt(found, partial=True)[1] == ("2/3",)


@pytest.mark.parametrize("answer", [Message({}), Message({"chunks": [1]}, {})])
def test_an_answer_of_something_else_is_an_error(sharded: Any, answer: Message) -> None:
    index, shards = sharded
    shards[2].broken = lambda _: answer.to_bytes()
    with pytest.raises(ServiceError):
        found(index)


def test_what_is_wrong_with_a_query_is_no_failure(config: Config, sharded: Any) -> None:
    index, _ = sharded
    with stub.open_index(config.index_path) as whole:
        for condition in ("nothing = 1", "ordinal >", "count(*) > 1"):
            messages = []
            for one in (index, whole):
                with pytest.raises(Exception, match="filter") as caught:
                    one.search(QUERY, where=condition)
                messages.append(str(caught.value))
            assert messages[0] == messages[1]


def test_a_front_goes_on_with_its_generation_and_then_moves(config: Config, sharded: Any) -> None:
    index, shards = sharded
    before = found(index)
    stub.write_texts(config.base, 1)
    stub.build(config)
    assert [shard.served.look() for shard in shards] == [True] * 3
    assert found(index) == before, "shards keep the generation before"
    moved = index.refresh()
    assert moved.manifest.generation == 2
    with stub.open_index(config.index_path) as whole:
        assert found(moved) == found(whole) != before
    assert moved.refresh() is moved


def test_the_newest_generation_is_one_that_all_shards_have(config: Config, sharded: Any) -> None:
    index, shards = sharded
    stub.write_texts(config.base, 1)
    stub.build(config)
    shards[0].served.look()
    assert index.newest() == 1
    assert index.refresh() is index
    for shard in shards:
        shard.served.look()
    assert index.newest() == 2


def test_shards_that_have_moved_on_twice_say_what_they_have(config: Config, sharded: Any) -> None:
    index, shards = sharded
    for version in (1, 2):
        stub.write_texts(config.base, version)
        stub.build(config)
        shards[0].served.look()
    with pytest.raises(GenerationGoneError, match=r"shard 0/3 does not have generation 1 .* it has 2, 3"):
        found(index)
    with pytest.raises(GenerationGoneError):
        index.attempt(found, partial=True, stays=False)
    assert index.attempt(found, partial=True)[1] == ("0/3",)
    with pytest.raises(ServiceError, match="no generation in common"):
        index.refresh()


def test_an_index_of_the_same_number_from_another_build_is_another(tmp_path: Path, config: Config) -> None:
    stub.write_texts(tmp_path / "other", 3)
    other = stub.stub_config(tmp_path / "other", segments={"max_chunks": 5, "auto_compact": False})
    stub.build(other)
    shards = [near_shards(config.index_path, 2)[0], near_shards(other.index_path, 2)[1]]
    with pytest.raises(ServiceError, match="no generation in common"):
        open_shards(shards, encoder=stub.encoder())


def test_shards_in_another_order_are_told(config: Config) -> None:
    shards = near_shards(config.index_path, 2)
    with pytest.raises(ShardsFailedError, match="is shard 1/2, and was asked as another"):
        open_shards(shards[::-1], encoder=stub.encoder())
    with pytest.raises(ShardsFailedError, match="is shard 0/2, and was asked as another"):
        open_shards(shards[:1], encoder=stub.encoder())
    with pytest.raises(ConfigError, match="at least one"):
        open_shards([])


def test_a_front_that_starts_without_a_shard_takes_it_when_it_comes(config: Config) -> None:
    shards = near_shards(config.index_path, 3)
    shards[2].broken = down
    with pytest.raises(ShardsFailedError, match="2/3"):
        open_shards(shards, encoder=stub.encoder(), groups=ALL_GROUPS)
    index = open_shards(shards, encoder=stub.encoder(), groups=ALL_GROUPS, partial=True)
    assert index.attempt(found, partial=True)[1] == ("2/3",)
    with pytest.raises(ShardsFailedError, match="2/3"):
        index.attempt(found, partial=False)
    assert index.refresh() is index
    shards[2].broken = None
    assert index.newest() is None
    with stub.open_index(config.index_path) as whole:
        assert index.refresh().attempt(found, partial=False) == (found(whole), ())  # type: ignore[attr-defined]


def test_a_front_needs_a_key_that_may_see_all(tmp_path: Path) -> None:
    from tests.support import grouped

    config = grouped.built(tmp_path, grouped.records(), access_field="groups")
    shards = near_shards(config.index_path, 2)
    for shard in shards:
        shard.caller = frozenset({"staff"})
    with pytest.raises(ShardsFailedError, match="by their groups: a front needs a key with `groups: all`"):
        open_shards(shards, encoder=stub.encoder(), groups=["staff"])


def test_an_index_over_shards_stays_where_it_is(sharded: Any) -> None:
    import copy

    index, _ = sharded
    with pytest.raises(EncoderError, match="does not travel"):
        copy.copy(index)


def test_a_question_that_there_is_not_is_refused(config: Config) -> None:
    (shard,) = near_shards(config.index_path, 1)
    question = Message({"ask": "everything", "share": "0/1", "generation": 1, "groups": None})
    answer = Message.of_bytes(shard.ask(question.to_bytes()))
    assert answer.fields["error"] == panel.FAILED
    assert "everything" in answer.text("words")
    assert Message.of_bytes(shard.ask(b"garbage")).fields["error"] == panel.FAILED


def test_a_front_logs_no_queries_as_it_has_no_folder(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    shards = near_shards(config.index_path, 2)
    index = open_shards(shards, encoder=stub.encoder(), groups=ALL_GROUPS, settings={"log": True})
    assert index.search("plums")
    assert not caplog.records
