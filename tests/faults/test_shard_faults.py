"""Shards that fail while they are asked, at any question of a search; generations are never mixed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, ServeSettings
from pipeline.errors import IncompatibleIndexError, ServiceError, ShardsFailedError
from pipeline.query.access import ALL_GROUPS
from pipeline.query.searcher import Index
from pipeline.query.shards.messages import Message
from pipeline.query.shards.partition import Share
from pipeline.query.shards.served import ServedShare
from pipeline.query.shards.sharded import open_shards
from pipeline.records import Fingerprint
from pipeline.serve.holder import IndexHolder
from pipeline.serve.metrics import Metrics
from pipeline.serve.shards.trying import answer_of
from tests.faults import stub
from tests.support.live import serving
from tests.support.sharded import NearShard, down, front, near_shards

SEARCH = {"k": 12, "explain": True, "fusion": "auto", "where": "ordinal = 0", "context": 1}


def sought(index: Index) -> Any:
    """A search that asks all kinds of questions: statistics, candidates, boosts, texts."""
    hits = index.search("number 3 about plums", boosts=["2 if doc_id > '010'"], **SEARCH)  # type: ignore[arg-type]
    return index.manifest.generation, hits, index.facets(["doc_id"], "ordinal = 0"), index.suggestions("plumz")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    stub.write_texts(tmp_path, 0)
    config = stub.stub_config(tmp_path, segments={"max_chunks": 5, "auto_compact": False})
    stub.build(config)
    return config


@pytest.fixture
def holder(config: Config) -> Iterator[tuple[IndexHolder, list[NearShard]]]:
    """What a front holds, over three shards."""
    index, shards = front(config.index_path, 3)
    found = IndexHolder("index", index, Metrics())
    yield found, shards
    found.close()


class At:
    """Does something to a shard at its `n`-th question."""

    def __init__(self, shard: NearShard, n: int, then: Callable[[bytes], bytes]) -> None:
        self._shard, self._n, self._then = shard, n, then
        self._lock = threading.Lock()
        self.count = 0

    def __call__(self, question: bytes) -> bytes:
        with self._lock:
            self.count += 1
            now = self.count
        if now < self._n:
            return self._shard.served.answer(question, self._shard.caller)
        return self._then(question)


def questions(holder: IndexHolder, shard: NearShard) -> int:
    """How many questions a first search asks a shard."""
    before = shard.asked
    answer_of(holder, sought)
    return shard.asked - before


def test_a_shard_that_fails_at_any_question_is_named_or_done_without(config: Config) -> None:
    index, shards = front(config.index_path, 3)
    first = IndexHolder("index", index, Metrics())
    count = questions(first, shards[1])
    first.close()
    assert count > 6
    without, parts = front(config.index_path, 3)
    parts[1].broken = down
    expected = without.attempt(sought, partial=True)
    for n in range(1, count + 1):
        one, shards = front(config.index_path, 3)
        with one:
            shards[1].broken = At(shards[1], n, (down, _cut, _garbage)[n % 3])
            with pytest.raises(ShardsFailedError) as caught:
                one.attempt(sought, partial=False)
            assert caught.value.shards == {"1/3"}
            assert one.attempt(sought, partial=True) == expected


def _cut(question: bytes) -> bytes:
    return Message({"chunk_ids": ["a"] * 9}).to_bytes()[:-3]


def _garbage(question: bytes) -> bytes:
    return b"HTTP/1.1 502 Bad Gateway"


def test_a_publish_at_any_question_gives_an_answer_of_one_generation(tmp_path: Path) -> None:
    """All shards move on twice, so that the generation of the front is gone, while a search runs."""
    moved = 0
    for n in (1, 3, 5, 7, 9, 11):
        base = tmp_path / str(n)
        stub.write_texts(base, 0)
        config = stub.stub_config(base, segments={"max_chunks": 5, "auto_compact": False})
        stub.build(config)
        index, shards = front(config.index_path, 2)
        holder = IndexHolder("index", index, Metrics())

        def moving(question: bytes, config: Config = config, shards: list[NearShard] = shards) -> bytes:
            shards[0].broken = None
            for version in (1, 2):
                stub.write_texts(config.base, version)
                stub.build(config)
                for shard in shards:
                    shard.served.look()
            return shards[0].served.answer(question, ALL_GROUPS)

        trap = At(shards[0], n, moving)
        shards[0].broken = trap
        found, missing = answer_of(holder, sought)
        assert missing == ()
        holder.close()
        with stub.open_index(config.index_path, generation=found[0]) as whole:
            assert found == sought(whole)
        moved += found[0] == 3
    assert moved >= 4, "a search whose generation is gone begins again at the new one"


def test_one_shard_that_moved_on_alone_answers_for_the_generation_of_the_others(config: Config) -> None:
    index, shards = front(config.index_path, 3)
    holder = IndexHolder("index", index, Metrics())
    before = answer_of(holder, sought)
    stub.write_texts(config.base, 1)
    stub.build(config)
    shards[0].served.look()
    assert answer_of(holder, sought) == before
    shards[0].served = ServedShare(config.index_path, Share(0, 3))  # restarted: it has the newer generation alone
    with pytest.raises(ShardsFailedError, match="shard 0/3 does not have generation 1"):
        answer_of(holder, lambda one: one.search("a word that nobody asked before"))
    for shard in shards[1:]:
        shard.served.look()
    assert answer_of(holder, sought)[0][0] == 2
    holder.close()


def test_a_slow_shard_is_waited_for_no_longer_than_its_time(config: Config) -> None:
    index, shards = front(config.index_path, 3)
    release = threading.Event()

    def slow(question: bytes) -> bytes:
        release.wait(10)
        raise ServiceError("did not answer within 0.1 s")

    with serving({"index": index}, ServeSettings(refresh_seconds=3600.0)) as live:
        shards[2].broken = slow
        others = {"query": "pears", "on_shard_failure": "partial"}
        waiting = threading.Thread(target=lambda: answers.append(live.post("/v1/search", others)))
        answers: list[Any] = []
        waiting.start()
        assert live.get("/readyz")["status"] == "ready", "one slow shard keeps nobody else waiting"
        release.set()
        waiting.join()
        assert answers[0]["missing_shards"] == ["2/3"]


def test_a_front_with_another_encoder_is_refused(config: Config) -> None:
    another = stub.HashedEncoder()
    another.dense_fingerprint = Fingerprint.of(kind="another", dimension=another.dimension)
    with pytest.raises(IncompatibleIndexError):
        open_shards(near_shards(config.index_path, 2), encoder=stub.encoder(another))


def test_shards_of_several_numbers_are_refused(config: Config) -> None:
    three, two = near_shards(config.index_path, 3), near_shards(config.index_path, 2)
    with pytest.raises(ShardsFailedError, match="shard 2/3: is shard 1/2, and was asked as another"):
        open_shards([three[0], three[1], two[1]], encoder=stub.encoder())
    with pytest.raises(ShardsFailedError, match="is shard 0/3, and was asked as another"):
        open_shards([three[0], two[1]], encoder=stub.encoder())


def test_a_shard_of_another_index_is_never_mixed_in(tmp_path: Path, config: Config) -> None:
    index, shards = front(config.index_path, 2)
    stub.write_texts(tmp_path / "other", 5)
    other = stub.stub_config(tmp_path / "other", segments={"max_chunks": 5, "auto_compact": False})
    stub.build(other)
    shards[1].served = ServedShare(other.index_path, Share(1, 2))  # of the same number, by another build
    with pytest.raises(ShardsFailedError, match="does not have generation 1 as the front knows it"):
        sought(index)
    (hits, missing) = index.attempt(lambda one: one.search("plums"), partial=True)
    assert (len(hits) > 0, missing) == (True, ("1/2",))
    with pytest.raises(ServiceError, match="no generation in common"):
        index.refresh()
