"""Publishes, fetches, interruptions and collections in any order leave every reader on a complete generation."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import IndexNotFoundError, IndexStoreError, OvertakenError
from pipeline.index import files
from pipeline.query.searcher import open_index
from pipeline.remote.collect import collect
from pipeline.remote.download import Wanted, download
from pipeline.remote.objects import Objects
from pipeline.remote.pull import pull
from tests.remote.stores import Machine, Nights, found


class Interruption(BaseException):
    """As if the process had been killed."""


class Interrupting:
    """Lets so many calls to the store and writes to the disk pass, and then ends the process that makes them."""

    def __init__(self, patch: pytest.MonkeyPatch, calls: int) -> None:
        self._left = calls
        for name in ("read", "read_range", "write", "create", "list", "head", "delete"):
            patch.setattr(Objects, name, self._counted(getattr(Objects, name)))
        for name in ("adopt_folder", "replace_file", "write_new_file"):
            patch.setattr(files, name, self._counted(getattr(files, name)))

    def _counted(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*given: object, **named: object) -> object:
            self._left -= 1
            if self._left < 0:
                raise Interruption
            return call(*given, **named)

        return counted


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(0, 1), st.integers(0, 2)),
    st.tuples(st.just("read"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("collect"), st.integers(0, 1), st.integers(1, 2)),
    st.tuples(st.just("dying publish"), st.integers(0, 1), st.integers(0, 45)),
    st.tuples(st.just("dying read"), st.integers(0, 2), st.integers(0, 30)),
)


@settings(max_examples=12)
@given(steps=st.lists(STEPS, min_size=2, max_size=7))
def test_any_order_leaves_readers_on_complete_generations(
    nights: Nights, steps: list[tuple[str, int, int]]
) -> None:
    expected = [nights.hits(night) for night in range(3)]
    with tempfile.TemporaryDirectory() as name:
        url = f"file://{name}/store/handbook"
        machines = [Machine(Path(name) / part, url, nights, keep_hours=0.0, transfers=2) for part in "abc"]
        machines[0].remote.objects.prepare()
        seen = [0, 0, 0]
        for step, which, value in steps:
            machine = machines[which]
            with pytest.MonkeyPatch.context() as patch:
                if step.startswith("dying"):
                    Interrupting(patch, value)
                try:
                    if step.endswith("publish"):
                        machine.publish(value % 3, note=str(value % 3))
                    elif step.endswith("read"):
                        pull(machine.remote)
                    else:
                        collect(machine.remote, value)
                except (IndexNotFoundError, Interruption):
                    pass
            published = machines[0].remote.generations()
            for place, each in enumerate(machines):
                assert each.is_sound(), steps
                assert set(each.here) <= set(range(1, max(published, default=0) + 1))
                assert max(each.here, default=0) >= seen[place]
                seen[place] = max(each.here, default=0)
        if published:
            for each in machines:
                with open_index(url, remote=each.settings) as index:
                    assert index.manifest.generation == max(published)
                    assert found(index) == expected[int(index.manifest.note)]


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=5),
    faults=st.lists(st.sampled_from(["short", "wrong", "gone", "right"]), max_size=8),
)
def test_a_file_has_its_name_only_if_it_is_whole(sizes: list[int], faults: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.remote.download.PART_BYTES", 64)
        folder, left = Path(name), list(faults)
        contents = {str(number): bytes([number + 1]) * size for number, size in enumerate(sizes)}
        wanted = []
        for key, data in contents.items():
            (folder / f"origin{key}").write_bytes(data)
            checksum = files.checksum(folder / f"origin{key}")
            wanted.append(Wanted(key, len(data), checksum, folder / "here" / key))

        def read(key: str, start: int, length: int) -> bytes | None:
            data = contents[key][start : start + length]
            match left.pop() if left else "right":
                case "short":
                    return data[:-1]
                case "wrong":
                    return bytes(len(data))
                case "gone":
                    return None
            return data

        for _ in range(len(faults) + 1):
            try:
                download(read, wanted, 2, lambda count: None)
                break
            except IndexStoreError:
                pass
            for one in wanted:
                assert one.is_here or not one.path.exists()
        for one in wanted:
            assert one.path.read_bytes() == contents[one.key]
        assert not list(folder.rglob("*.part"))


def test_of_many_builders_at_once_exactly_one_publishes_each_number(nights: Nights, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store/handbook"
    machines = [Machine(tmp_path / str(part), url, nights) for part in range(4)]
    machines[0].remote.objects.prepare()
    for number in (1, 2, 3):
        start, won, lost = threading.Barrier(len(machines)), [], []

        def build(machine: Machine, number: int = number) -> None:
            start.wait()  # noqa: B023
            try:
                won.append(machine.publish(1, note=machine.folder.name, number=number))  # noqa: B023
            except OvertakenError:
                lost.append(machine)  # noqa: B023

        threads = [threading.Thread(target=build, args=[machine]) for machine in machines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 3)
        assert machines[0].remote.manifest(number) == won[0]
        assert all(number not in machine.here for machine in lost)
        for machine in machines:
            assert pull(machine.remote) == number
            assert machine.is_sound()


def test_readers_that_fetch_at_once_share_what_comes(nights: Nights, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store/handbook"
    Machine(tmp_path / "a", url, nights).publish(2)
    reader, expected = Machine(tmp_path / "b", url, nights), nights.hits(2)
    results: list[list[tuple[str, float]]] = []
    threads = [threading.Thread(target=lambda: results.append(reader.hits())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
