"""Names of objects."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.index.manifest import FileEntry, SegmentEntry
from pipeline.remote.layout import file_key, generation_key, generation_of, segment_keys


@given(st.integers(0, 10**8 - 1))
def test_a_generation_is_found_by_its_key(number: int) -> None:
    assert generation_of(generation_key(number)) == number


def test_keys_of_generations_ascend_with_their_numbers() -> None:
    keys = [generation_key(number) for number in (1, 9, 10, 99, 12_345_678)]
    assert keys == sorted(keys)


def test_other_objects_are_no_generations() -> None:
    for key in ("generations/1.json", "generations/00000001.json.tmp", "x/generations/00000001.json", "segments/a"):
        assert generation_of(key) is None


def test_what_is_in_a_file_is_in_its_name() -> None:
    one, other = FileEntry("rows.bin", 5, "aa"), FileEntry("rows.bin", 5, "bb")
    assert file_key("s", one) == "segments/s/aa/rows.bin"
    assert file_key("s", one) != file_key("s", other)
    deletes = FileEntry("deletes-00000002.npy", 4, "cc")
    entry = SegmentEntry("s", 3, (one,), deletes, 1)
    assert segment_keys(entry) == {
        "segments/s/aa/rows.bin": one,
        "segments/s/cc/deletes-00000002.npy": deletes,
    }
