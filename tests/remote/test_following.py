"""Open indexes and services that move on to what is published in a store."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, CorruptIndexError, IndexNotFoundError, ObjectStoreError
from pipeline.index.manifest import digest, model_folder
from pipeline.query.searcher import open_index
from pipeline.remote import encoder_files
from pipeline.remote.objects import Objects, Stored
from pipeline.remote.pull import pull
from pipeline.serve.holder import IndexHolder
from pipeline.serve.metrics import Metrics
from tests.remote.stores import Machine, Nights, found

Pair = tuple[Machine, Machine]


def test_an_open_index_moves_on_when_it_is_told_to(machines: Pair, nights: Nights) -> None:
    builder, reader = machines
    builder.publish(0)
    with open_index(reader.url, remote=reader.settings) as index:
        assert index.newest() == 1
        assert index.refresh() is index
        builder.publish(2)
        assert index.newest() == 2
        with index.refresh() as fresh:
            assert found(fresh) == nights.hits(2)
        assert found(index) == nights.hits(0)


def test_an_index_travels_by_its_address(machines: Pair, nights: Nights) -> None:
    builder, reader = machines
    builder.publish(0)
    with open_index(reader.url, remote=reader.settings) as index:
        travelling = pickle.dumps(index)
        builder.publish(2)
        with copy.copy(index) as same, pickle.loads(travelling) as again:
            assert found(same) == found(again) == found(index) == nights.hits(0)
            assert again.newest() == 2


def test_earlier_generations_are_fetched_when_they_are_asked_for(machines: Pair, nights: Nights) -> None:
    builder, reader = machines
    for night in (0, 1, 2):
        builder.publish(night)
    with open_index(reader.url, generation=2, remote={"cache_folder": reader.settings.cache_folder}) as index:
        assert found(index) == nights.hits(1)
    assert reader.here == [2]
    assert reader.hits() == nights.hits(2)
    with pytest.raises(IndexNotFoundError, match="no generation 9; there are: 1, 2, 3"):
        open_index(reader.url, generation=9, remote=reader.settings)


def test_an_address_is_no_path(machines: Pair) -> None:
    for wrong in (Path("s3://bucket/handbook"), Path("file:///srv/handbook")):
        with pytest.raises(ConfigError, match="as a str, a Path loses a slash"):
            open_index(wrong)


def test_a_service_fetches_beside_its_searches_and_moves_on(
    machines: Pair, nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder, reader = machines
    builder.publish(0)
    holder = IndexHolder("handbook", open_index(reader.url, remote=reader.settings), Metrics())
    assert not holder.look()
    builder.publish(2)
    read_range = Objects.read_range

    def searching_meanwhile(self: Objects, key: str, start: int, length: int) -> bytes | None:
        with holder.lent() as index:
            assert found(index) == nights.hits(0)
        return read_range(self, key, start, length)

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "read_range", searching_meanwhile)
        assert holder.look()
    with holder.lent() as index:
        assert found(index) == nights.hits(2)
    holder.close()


def test_a_service_goes_on_while_its_store_is_away(
    machines: Pair, nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder, reader = machines
    builder.publish(0)
    holder = IndexHolder("handbook", open_index(reader.url, remote=reader.settings), Metrics())

    def away(self: Objects, prefix: str, after: str | None = None) -> list[Stored]:
        raise ObjectStoreError("does not answer", unreachable=True)

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "list", away)
        assert not holder.look()
    assert holder.refused is not None
    assert (holder.refused.generation, holder.refused.reason) == (None, "its object store cannot be used")
    with holder.lent() as index:
        assert found(index) == nights.hits(0)
    builder.publish(1)
    assert holder.look()
    assert holder.refused is None
    holder.close()


def test_an_encoder_that_came_with_an_index_travels_with_it(machines: Pair, nights: Nights) -> None:
    builder, reader = machines
    manifest = nights.manifests[0]
    there = model_folder(builder.copy, manifest)
    (there / "dense").mkdir(parents=True)
    (there / "encoder.json").write_text("{}")
    (there / "dense" / "model.bin").write_bytes(b"weights" * 100)
    builder.publish(0)
    assert pull(reader.remote) == 1
    came = model_folder(reader.copy, manifest)
    assert {path.relative_to(came): path.read_bytes() for path in came.rglob("*") if path.is_file()} == {
        path.relative_to(there): path.read_bytes() for path in there.rglob("*") if path.is_file()
    }
    record = encoder_files.record_key(manifest)
    for wrong in (b"{}", b'{"files": [], "checksum": "x"}', b"\0"):
        builder.remote.objects.write(record, wrong)
        with pytest.raises(CorruptIndexError, match="is no list of an encoder's files"):
            encoder_files.listed(reader.remote, manifest)


def test_a_list_of_files_leads_nowhere_else(machines: Pair, nights: Nights) -> None:
    builder, _ = machines
    builder.publish(0)
    manifest = nights.manifests[0]
    for path in ("../../x", "/etc/x", "a/../x", "", ".hidden"):
        body = {"files": [{"path": path, "size": 1, "checksum": "0" * 32}]}
        data = json.dumps({**body, "checksum": digest(body)}).encode()
        builder.remote.objects.write(encoder_files.record_key(manifest), data)
        with pytest.raises(CorruptIndexError, match="names an unacceptable file"):
            encoder_files.listed(builder.remote, manifest)
