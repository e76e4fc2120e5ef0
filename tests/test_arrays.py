"""Arrays are read as NumPy reads them, by any number of threads at once."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from pipeline import arrays

numbers = st.one_of(
    drawn.integer_dtypes(), drawn.unsigned_integer_dtypes(), drawn.floating_dtypes(sizes=(16, 32, 64))
)
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@shared
@given(drawn.arrays(numbers, drawn.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_what_numpy_writes_is_read(tmp_path: Path, array: npt.NDArray[np.generic]) -> None:
    np.save(tmp_path / "a.npy", array)
    found = arrays.mapped(tmp_path / "a.npy")
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert not found.flags.writeable


@shared
@given(st.integers(0, 127), st.binary(min_size=1, max_size=3))
@example(61, b" ")  # the first of two lengths
def test_another_header_is_refused_or_read_as_it_says(tmp_path: Path, place: int, change: bytes) -> None:
    np.save(tmp_path / "a.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "b.npy").write_bytes(data[:place] + change + data[place + len(change) :])
    try:
        found = arrays.mapped(tmp_path / "b.npy")
    except ValueError:
        return
    assert np.array_equal(found, np.load(tmp_path / "b.npy"), equal_nan=found.dtype.kind == "f")


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3), np.float32, order="F"), np.array([None]), np.array(["a"]), np.zeros(1, "i4,f4")]
)
def test_what_we_never_write_is_refused(tmp_path: Path, array: npt.NDArray[np.generic]) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match="not the header"):
        arrays.mapped(tmp_path / "a.npy")


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1000, 10), np.float32))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(ValueError, match="1 bytes are missing"):
        arrays.mapped(tmp_path / "a.npy")


def test_threads_open_files_at_the_same_time(tmp_path: Path) -> None:
    """Collections of garbage that let another thread run come at every point of the reading."""
    np.save(tmp_path / "a.npy", np.arange(5))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(200):
                assert arrays.mapped(tmp_path / "a.npy")[4] == 4
        except BaseException as error:
            failed.append(error)

    def pause(phase: str, info: dict[str, int]) -> None:
        time.sleep(0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    thresholds = gc.get_threshold()
    gc.callbacks.append(pause)
    gc.set_threshold(3)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.callbacks.remove(pause)
        gc.set_threshold(*thresholds)
    assert failed == []


@given(drawn.arrays(st.sampled_from([np.int64, np.uint64]), st.integers(0, 40), elements=st.integers(0, 9)))
def test_distinct_values_are_those_of_a_set(values: npt.NDArray[np.int64]) -> None:
    found = arrays.distinct(values)
    assert found.tolist() == sorted(set(values.tolist()))
    assert found.dtype == values.dtype
