"""Messages: what is written is read, bit for bit, and nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.query.shards.messages import Message, NoMessageError

SHAPES = arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5)
ARRAYS = st.sampled_from(["<i8", "<u8", "<u4", "<f4", "<f8", "|b1"]).flatmap(
    lambda kind: arrays.arrays(kind, SHAPES)
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
MESSAGES = st.builds(
    Message, st.dictionaries(st.text(), PLAIN, max_size=4), st.dictionaries(st.text(), ARRAYS, max_size=3)
)


@given(MESSAGES)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    found = Message.of_bytes(message.to_bytes())
    assert found.fields == message.fields
    assert list(found.arrays) == list(message.arrays)
    for name, array in message.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()


def test_half_a_character_travels() -> None:
    assert Message.of_bytes(Message({"text": "\ud800"}).to_bytes()).fields == {"text": "\ud800"}


@given(MESSAGES, st.data())
def test_what_was_altered_or_cut_off_is_no_message(message: Message, data: st.DataObject) -> None:
    whole = message.to_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for wrong in (bytes(flipped), whole[:at]):
        with pytest.raises(NoMessageError):
            Message.of_bytes(wrong)


@pytest.mark.parametrize("wrong", [b"", b"HPSH", b"<html>busy</html>" * 9, b"\x80\x04pickle" * 9])
def test_other_bytes_are_no_message(wrong: bytes) -> None:
    with pytest.raises(NoMessageError):
        Message.of_bytes(wrong)


def test_fields_and_arrays_are_of_the_kind_that_is_wanted() -> None:
    message = Message({"text": 1, "flag": True, "list": [1]}, {"ids": np.zeros(2, np.float32)})
    asks: list[Any] = [
        lambda: message.text("text"),
        lambda: message.whole("flag"),
        lambda: message.whole("nothing"),
        lambda: message.texts("list"),
        lambda: message.listed("text"),
        lambda: message.array("ids", "<i8"),
        lambda: message.array("ids", "<f4", 2),
        lambda: message.array("nothing", "<f4"),
    ]
    for ask in asks:
        with pytest.raises(NoMessageError):
            ask()
