"""Against a real S3 server whose answers are late, refused, cut off, out of date or lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ObjectStoreError, OvertakenError
from pipeline.job.build import build
from pipeline.remote import objects
from pipeline.remote.pull import pull
from tests.remote.conftest import KEY, SECRET
from tests.remote.proxy import Proxy
from tests.remote.stores import Machine, Nights

ALWAYS = 10_000
Pair = tuple[Machine, Machine]


@pytest.fixture(autouse=True)
def few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "RETRIES", 2)


@pytest.fixture
def machines(tmp_path: Path, bucket_url: str, nights: Nights) -> Pair:
    return Machine(tmp_path / "a", bucket_url, nights), Machine(tmp_path / "b", bucket_url, nights)


def test_what_one_machine_builds_another_finds_and_fetches_once(machines: Pair, proxy: Proxy) -> None:
    builder, reader = machines
    assert builder.build().generation == 1
    assert reader.hits() == builder.hits() != []
    fetched = proxy.count("GET", "/segments/")
    assert fetched == len(list(reader.copy.glob("segments/*/*")))
    assert reader.hits() == builder.hits()
    assert proxy.count("GET", "/segments/") == fetched
    assert reader.is_sound()


def test_only_what_is_missing_is_sent_and_fetched(machines: Pair, proxy: Proxy, nights: Nights) -> None:
    builder, reader = machines
    builder.publish(0)
    reader.hits()
    sent, fetched = proxy.count("PUT", "/segments/"), proxy.count("GET", "/segments/")
    builder.publish(1)
    assert reader.hits() == nights.hits(1)
    new = sum(len(entry.every_file) for entry in nights.manifests[1].segments) - fetched
    assert proxy.count("PUT", "/segments/") - sent == proxy.count("GET", "/segments/") - fetched == new > 0


@pytest.mark.parametrize("times", [1, ALWAYS])
def test_an_answer_that_got_lost_is_looked_up(machines: Pair, proxy: Proxy, times: int) -> None:
    builder, reader = machines
    lost = proxy.fail("lost", "PUT", "/generations/", times)
    builder.publish()
    assert lost.seen
    assert builder.here == builder.remote.generations() == [1]
    assert reader.hits() == builder.hits()


@pytest.mark.parametrize("kind", ["refuse", "cut", "slow", "lost"])
def test_a_fetch_goes_on_after_a_fault(machines: Pair, proxy: Proxy, kind: str) -> None:
    builder, reader = machines
    builder.publish()
    fault = proxy.fail(kind, "GET", "/segments/", times=2)
    reader.settings = reader.settings.model_copy(update={"timeout_seconds": 1.0})
    assert reader.hits() == builder.hits()
    assert len(fault.seen) == 2
    assert reader.is_sound()


@pytest.mark.parametrize("kind", ["refuse", "lost"])
def test_an_upload_goes_on_after_a_fault(machines: Pair, proxy: Proxy, kind: str) -> None:
    builder, reader = machines
    fault = proxy.fail(kind, "PUT", "/segments/", times=2)
    builder.publish()
    assert len(fault.seen) == 2
    assert reader.hits() == builder.hits()


def test_an_upload_that_fails_publishes_nothing(machines: Pair, proxy: Proxy) -> None:
    builder, reader = machines
    proxy.fail("refuse", "PUT", "/postings.arrow", ALWAYS)
    with pytest.raises(ObjectStoreError, match="answers 503"):
        builder.publish()
    assert builder.here == reader.remote.generations() == []
    proxy.faults.clear()
    builder.publish()
    assert reader.hits() == builder.hits()


def test_a_fetch_that_fails_is_never_opened_and_goes_on(machines: Pair, proxy: Proxy) -> None:
    builder, reader = machines
    builder.publish()
    fault = proxy.fail("cut", "GET", "/postings.arrow", ALWAYS)
    with pytest.raises(ObjectStoreError, match="does not answer, or breaks off"):
        reader.hits()
    assert reader.here == []
    assert not (reader.copy / "segments").exists()
    fault.times = 0
    there = {path.name for path in (reader.copy / ".incoming").glob("*/*") if path.suffix != ".part"}
    assert there
    before = len(proxy.asked)
    assert reader.hits() == builder.hits()
    again = [one.path for one in proxy.asked[before:] if "/segments/" in one.path and one.method == "GET"]
    assert again
    assert not {path.rpartition("/")[2] for path in again} & there


def test_a_store_that_does_not_answer_leaves_what_is_here(
    machines: Pair, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    builder, reader = machines
    builder.publish()
    found = reader.hits()
    proxy.fail("refuse", "GET", "", ALWAYS)
    assert reader.hits() == found
    assert "going on with generation 1, which is here" in caplog.text
    with pytest.raises(ObjectStoreError, match="answers 503"):
        Machine(reader.folder / "another", reader.url).hits()


def test_an_old_list_takes_nobody_back(machines: Pair, proxy: Proxy, nights: Nights) -> None:
    builder, reader = machines
    builder.publish(0)
    reader.hits()  # the list that the proxy remembers
    builder.publish(1)
    assert pull(reader.remote) == 2
    proxy.fail("stale", "GET", "list-type", ALWAYS)
    assert pull(reader.remote) == 2
    assert reader.hits() == nights.hits(1)
    assert builder.publish(2).generation == 3


def test_a_builder_that_sees_an_old_list_is_told(machines: Pair, proxy: Proxy) -> None:
    builder, other = machines
    builder.publish(0)
    assert pull(other.remote) == 1
    builder.publish(1)
    stale = proxy.fail("stale", "GET", "list-type=2&prefix=indexes%2Fhandbook%2Fgenerations", ALWAYS)
    other.write("en/pears.md", "# Pears\n\nPears are fused too.")
    with pytest.raises(OvertakenError, match="has published generation 2 meanwhile"):
        other.build()
    assert stale.seen
    assert other.here == [1]
    stale.times = 0
    again = other.build()
    assert (again.generation, again.encoded_chunks) == (3, 0)  # the loser's work is not lost
    assert builder.hits("pears") == other.hits("pears")


def test_a_bucket_that_cannot_be_written_is_told_before_anything_is_read(
    machines: Pair, proxy: Proxy, tmp_path: Path
) -> None:
    builder, _ = machines
    config = builder.config
    (builder.folder / "documents").rename(builder.folder / "gone")  # reading would be another error
    proxy.fail("refuse", "PUT", "", ALWAYS)
    with pytest.raises(ObjectStoreError, match=r"creating probes/\w+: the store answers 503"):
        build(config)
    proxy.faults.clear()
    with pytest.raises(ObjectStoreError, match="no such bucket"):
        build(Machine(tmp_path / "c", "s3://there-is-no-such-bucket/handbook").config)


def test_credentials_are_never_shown(machines: Pair, proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    builder, reader = machines
    builder.build()
    reader.hits()
    errors = []
    for method in ("GET", "PUT", "HEAD"):
        proxy.fail("refuse", method, "", ALWAYS)  # with an answer that quotes a key
        with pytest.raises(ObjectStoreError) as failed:
            builder.publish()
        errors.append(str(failed.value))
        assert failed.value.__cause__ is None
        proxy.faults.clear()
    written = [path for folder in (builder.folder, reader.folder) for path in folder.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in written)
    stored = b"".join(builder.remote.objects.read(one.key) or b"" for one in builder.remote.objects.list(""))
    assert stored
    for secret in (KEY, SECRET, KEY[:10]):
        assert secret not in caplog.text + "".join(errors)
        assert secret.encode() not in kept + stored
        assert secret not in repr(builder.remote) + repr(builder.remote.objects.__reduce__())
