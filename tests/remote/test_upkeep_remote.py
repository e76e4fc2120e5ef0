"""Collection, rollback, verify and repair of an index in a store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import CorruptIndexError, IndexNotFoundError, IndexStoreError, OvertakenError
from pipeline.index import store
from pipeline.query.searcher import open_index
from pipeline.remote import upkeep
from pipeline.remote.collect import collect
from pipeline.remote.layout import generation_key, segment_keys
from pipeline.remote.objects import Objects, Stored
from pipeline.remote.pull import pull
from tests.remote.stores import Machine, Nights, found

Pair = tuple[Machine, Machine]
FOR_EVER = 10_000.0


def objects(machine: Machine) -> set[str]:
    return {one.key for one in machine.remote.objects.list("") if not one.key.startswith("probes/")}


def keeping(machine: Machine, hours: float) -> None:
    machine.settings = machine.settings.model_copy(update={"keep_hours": hours})


def needed(nights: Nights, *which: int) -> set[str]:
    return {key for night in which for entry in nights.manifests[night].segments for key in segment_keys(entry)}


def test_what_is_young_stays_and_what_is_old_and_unnamed_goes(machines: Pair, nights: Nights) -> None:
    builder, _ = machines
    for night in (0, 1, 2):
        builder.publish(night)
    builder.remote.objects.write("segments/x/y/rows.bin", b"left by a build that died")
    everything = objects(builder)
    keeping(builder, FOR_EVER)
    assert collect(builder.remote, 1).generations == (1, 2, 3)
    assert objects(builder) == everything
    keeping(builder, 0.0)
    done = collect(builder.remote, 2)
    assert (done.generations, done.removed) == ((2, 3), (1,))
    assert objects(builder) == needed(nights, 1, 2) | {generation_key(number) for number in (2, 3)}
    assert collect(builder.remote, 1).removed == (2,)
    assert objects(builder) == needed(nights, 2) | {generation_key(3)}
    assert not list(builder.remote.objects.list("probes/"))


def test_a_reader_of_a_generation_that_is_collected_goes_on_and_others_find_the_next(
    machines: Pair, nights: Nights
) -> None:
    builder, reader = machines
    builder.publish(0)
    with open_index(reader.url, remote=reader.settings) as index:
        before = found(index)
        builder.publish(2)
        keeping(builder, 0.0)
        collect(builder.remote, 1)
        assert found(index) == before
        with index.refresh() as fresh:
            assert fresh.manifest.generation == 2
            assert found(fresh) == nights.hits(2)


def test_nothing_is_removed_where_a_manifest_cannot_be_read(machines: Pair) -> None:
    builder, _ = machines
    builder.publish(0)
    builder.publish(1)
    builder.remote.objects.write(generation_key(2), b"{}\n")
    everything = objects(builder)
    keeping(builder, 0.0)
    assert collect(builder.remote, 1).removed == ()
    assert objects(builder) == everything


def test_a_generation_that_a_list_does_not_show_yet_keeps_its_files(
    machines: Pair, nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder, reader = machines
    builder.publish(0)
    builder.publish(2)
    listing = Objects.list

    def stale(self: Objects, prefix: str, after: str | None = None) -> list[Stored]:
        return [one for one in listing(self, prefix, after) if one.key != generation_key(2)]

    keeping(builder, 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Objects, "list", stale)
        assert collect(builder.remote, 1).generations == (2,)
    assert reader.hits() == nights.hits(2)


def test_an_upload_that_a_collection_may_be_about_to_remove_is_made_again(
    machines: Pair, nights: Nights, tmp_path: Path
) -> None:
    builder, reader = machines
    builder.publish(0)
    place = Path(builder.url.removeprefix("file://"))
    new = needed(nights, 1) - needed(nights, 0)
    for key in new:  # of a build that died long ago
        builder.remote.objects.write(key, b"")
        path = nights.index / "segments" / key.split("/")[1] / key.split("/")[3]
        builder.remote.objects.write(key, path)
        os.utime(place / key, (0, 0))
    builder.publish(1)
    assert all((place / key).stat().st_mtime > 1 for key in new)
    assert any((place / key).stat().st_mtime > 1 for key in needed(nights, 0))
    assert reader.hits() == nights.hits(1)


def test_what_was_collected_while_a_generation_was_published_is_written_again(
    machines: Pair, nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder, reader = machines
    create = Objects.create

    def collected_meanwhile(self: Objects, key: str, content: bytes) -> bool:
        if key == generation_key(1):
            for one in needed(nights, 0):
                builder.remote.objects.delete(one)
        return create(self, key, content)

    monkeypatch.setattr(Objects, "create", collected_meanwhile)
    builder.publish(0)
    assert reader.hits() == nights.hits(0)


def test_of_two_builders_one_wins_and_the_other_has_nothing_live(machines: Pair) -> None:
    one, other = machines
    one.publish(0, note="one", number=1)
    with pytest.raises(OvertakenError, match="another builder has published generation 1"):
        other.publish(1, note="other", number=1)
    assert other.here == []
    assert pull(other.remote) == 1
    assert other.publish(1, note="other").generation == 2
    assert one.hits() == other.hits()


def test_a_rollback_publishes_what_is_whole_even_after_what_is_not(machines: Pair, nights: Nights) -> None:
    builder, other = machines
    builder.publish(0)
    builder.publish(1)
    for key in needed(nights, 1) - needed(nights, 0):
        builder.remote.objects.delete(key)
    with pytest.raises(CorruptIndexError, match="is not there any more"):
        other.hits()
    restored = upkeep.rollback(other.remote)
    assert (restored.generation, restored.note) == (3, "rollback to generation 1")
    third = Machine(other.folder / "third", other.url, nights)
    assert third.hits() == other.hits() == nights.hits(0)


def test_a_rollback_to_nothing_is_refused(machines: Pair) -> None:
    builder, _ = machines
    with pytest.raises(IndexNotFoundError, match="no index here"):
        upkeep.rollback(builder.remote)
    builder.publish(0)
    with pytest.raises(IndexNotFoundError, match="no generation is left before the live one"):
        upkeep.rollback(builder.remote)
    with pytest.raises(IndexNotFoundError, match="no generation 7; there are: 1"):
        upkeep.rollback(builder.remote, 7)


def test_verify_names_what_is_missing_or_cut_or_altered(machines: Pair, nights: Nights) -> None:
    builder, reader = machines
    builder.publish(0)
    assert upkeep.verify(reader.remote, deep=True).ok
    gone, cut, altered, *_ = sorted(needed(nights, 0))
    data = builder.remote.objects.read(altered) or b""
    builder.remote.objects.write(altered, bytes([data[0] ^ 1]) + data[1:])
    assert upkeep.verify(reader.remote).ok
    assert [(one.file, one.reason) for one in upkeep.verify(reader.remote, deep=True).problems] == [
        (altered, upkeep.DIFFERS)
    ]
    builder.remote.objects.delete(gone)
    builder.remote.objects.write(cut, (builder.remote.objects.read(cut) or b"")[:-1])
    assert {one.file for one in upkeep.verify(reader.remote).problems} == {gone, cut}


def test_repair_writes_again_what_a_machine_still_has(machines: Pair, nights: Nights) -> None:
    builder, reader = machines
    builder.publish(0)
    gone, altered = (next(key for key in needed(nights, 0) if name in key) for name in ("chunks.", "rows.bin"))
    builder.remote.objects.delete(gone)
    assert upkeep.repair(builder.remote)[1] == 1
    assert upkeep.verify(reader.remote, deep=True).ok
    data = builder.remote.objects.read(altered) or b""
    builder.remote.objects.write(altered, bytes([data[0] ^ 1]) + data[1:])
    builder.remote.objects.delete(gone)
    with pytest.raises(CorruptIndexError):
        upkeep.repair(Machine(reader.folder / "new", reader.url).remote)
    local = builder.copy / "segments" / altered.split("/")[1] / altered.split("/")[3]
    local.write_bytes(b"damaged here too")
    report, written = upkeep.repair(builder.remote)
    assert (report.lost, written) == ((), len(needed(nights, 0)))  # what can be derived was made anew here
    assert upkeep.verify(reader.remote, deep=True).ok


def test_damage_here_is_mended_from_the_store(machines: Pair, nights: Nights) -> None:
    builder, reader = machines
    builder.publish(0)
    expected = reader.hits()
    for path in sorted(reader.copy.glob("segments/*/*")):
        data = path.read_bytes()
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        assert reader.hits() == expected
        path.unlink()
        assert reader.hits() == expected
    assert reader.is_sound()


def test_a_copy_of_another_history_is_refused(machines: Pair) -> None:
    builder, reader = machines
    builder.publish(0, note="first")
    reader.hits()
    builder.remote.objects.delete(generation_key(1))
    with pytest.raises(IndexStoreError, match="not that of file://"):
        reader.hits()
    Machine(builder.folder / "new", builder.url, builder._nights).publish(0, note="another")
    with pytest.raises(IndexStoreError, match="remove this folder"):
        reader.hits()


def test_a_manifest_that_was_damaged_here_is_fetched_again(machines: Pair, nights: Nights) -> None:
    builder, reader = machines
    builder.publish(0)
    reader.hits()
    path = reader.copy / "manifest-00000001.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert reader.hits() == nights.hits(0)


def test_generations_are_listed_without_fetching_them(machines: Pair) -> None:
    builder, reader = machines
    builder.publish(0)
    builder.publish(1)
    with upkeep.manifests_of(reader.remote) as folder:
        assert store.live_manifest(folder) == reader.remote.manifest(2)
        assert len(list(folder.iterdir())) == 2
    assert not reader.copy.exists()
