"""What an address says, and how failures of a store are told."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path

import pytest

from pipeline.config import RemoteSettings, parse_config
from pipeline.config.remote import checked_url, is_url
from pipeline.errors import ConfigError, IndexNotFoundError, ObjectStoreError
from pipeline.remote import objects, push
from pipeline.remote.objects import Objects
from pipeline.remote.place import RemoteIndex


@pytest.fixture
def here(tmp_path: Path) -> Objects:
    found = Objects(f"file://{tmp_path}/store")
    found.prepare()
    return found


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("s3://bucket/handbook", "s3://bucket/handbook"),
        ("s3://bucket/a//b/", "s3://bucket/a/b"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("az://account/container/a", "az://account/container/a"),
        ("file:///srv/indexes/", "file:///srv/indexes"),
    ],
)
def test_addresses(url: str, used: str) -> None:
    assert is_url(url)
    assert checked_url(url) == used
    assert checked_url(used) == used


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://bucket/a", "http:// is no object store"),
        ("s3://bucket", "give a prefix too"),
        ("s3:///a", "names no bucket"),
        ("s3://buc ket/a", "names no bucket"),
        ("s3://bucket/../a", "plain names"),
        ("s3://bucket/%2e%2e/a", "plain names"),
        ("file://host/a", "absolute folder"),
        ("file:///", "absolute folder"),
        ("s3://[bucket/a", "not an address"),
        ("s3://AKIA:s3cr3t@bucket/a", "neither credentials nor options"),
        ("s3://bucket/a?secret=s3cr3t", "neither credentials nor options"),
        ("s3://bucket/a#s3cr3t", "neither credentials nor options"),
    ],
)
def test_addresses_that_are_refused_without_quoting_a_password(url: str, says: str) -> None:
    for refused in (checked_url, lambda url: parse_config({"index": url}), RemoteIndex.at):
        with pytest.raises(ConfigError, match=says) as error:
            refused(url)
        assert "s3cr3t" not in str(error.value)


def test_each_index_has_a_local_copy_of_its_own_that_is_called_like_it(tmp_path: Path) -> None:
    settings = RemoteSettings(cache_folder="copies")
    one, other = (settings.local_copy(f"s3://{bucket}/a/handbook", tmp_path) for bucket in ("x", "y"))
    assert one != other
    assert one.name == other.name == "handbook"
    assert one.parent.parent == other.parent.parent == tmp_path / "copies"
    config = parse_config({"index": "s3://x/a/handbook", "remote": {"cache_folder": "copies"}}, base=tmp_path)
    assert config.index_path == one
    assert parse_config({"index": "indexes/a"}, base=tmp_path).index_url is None


def test_an_object_is_created_once(here: Objects) -> None:
    assert here.create("a/b", b"one")
    assert not here.create("a/b", b"two")
    assert here.create("a/b", b"one")  # our own put, whose answer got lost
    assert here.read("a/b") == b"one"
    here.write("a/b", b"three")
    assert here.read("a/b") == b"three"


def test_what_is_not_there_is_none(here: Objects) -> None:
    assert here.read("a") is here.read_range("a", 0, 1) is here.head("a") is None
    assert here.list("a/") == []
    here.delete("a")


def test_listing_goes_by_prefix_and_place(here: Objects) -> None:
    for key in ("a/2", "a/1", "b/1"):
        here.write(key, key.encode())
    assert [one.key for one in here.list("a/")] == ["a/1", "a/2"]
    assert [one.key for one in here.list("a/", after="a/1")] == ["a/2"]
    head = here.head("a/2")
    assert head is not None
    assert (head.key, head.size) == ("a/2", 3)
    assert here.read_range("a/2", 1, 10) == b"/2"


def test_a_store_that_is_a_folder_is_made_by_who_writes_only(tmp_path: Path) -> None:
    nowhere = Objects(f"file://{tmp_path}/nowhere")
    with pytest.raises(IndexNotFoundError, match="no such folder"):
        nowhere.read("a")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_may_not_be_written_is_told(here: Objects, tmp_path: Path) -> None:
    (tmp_path / "store" / "probes").write_text("in the way")
    remote = RemoteIndex(here, tmp_path / "copy", RemoteSettings())
    with pytest.raises(ObjectStoreError, match="creating probes"):
        push.check_writable(remote)


def test_a_store_without_conditional_puts_is_refused(
    here: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwrites(self: Objects, key: str, content: bytes) -> bool:
        self.write(key, content)
        return True

    remote = RemoteIndex(here, tmp_path / "copy", RemoteSettings())
    push.check_writable(remote)
    monkeypatch.setattr(Objects, "create", overwrites)
    with pytest.raises(ObjectStoreError, match="does not honour conditional puts"):
        push.check_writable(remote)
    assert here.list("probes/") == []


def test_a_connection_does_not_travel(here: Objects) -> None:
    here.write("a", b"1")
    again = pickle.loads(pickle.dumps(here))
    assert again == here
    assert again.read("a") == b"1"
    assert "_store" not in pickle.loads(pickle.dumps(here)).__dict__


def test_a_forked_child_is_told_instead_of_waiting_without_end(here: Objects) -> None:
    here.write("a", b"1")
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            here.read("a")
        except ObjectStoreError as error:
            os._exit(7 if "forked process" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({}, False),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}, True),
        ({"AWS_ENDPOINT_URL": "http://localhost:9000"}, True),
        ({"AWS_ENDPOINT_URL": "http://storage.example.org"}, False),
        ({"AWS_ENDPOINT_URL": "http://storage.example.org", "AWS_ALLOW_HTTP": "true"}, True),
        ({"AWS_ENDPOINT_URL": "http://10.0.0.1", "AWS_ENDPOINT_URL_S3": "http://[::1]:9000"}, True),
    ],
)
def test_plain_http_is_for_this_machine(
    environment: dict[str, str], allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert objects._allows_http() is allowed
