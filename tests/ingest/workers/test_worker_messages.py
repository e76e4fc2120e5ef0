"""A message is read as it was written, however the pipe cuts it; one that is cut off is the end."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.workers.messages import Message, packed, received

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
heads = st.dictionaries(st.text(max_size=5), plain, max_size=4)


class Dripping(io.BytesIO):
    """A pipe that gives a few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(3, size) if size and size > 0 else size)


@given(st.lists(st.tuples(heads, st.binary(max_size=40)), max_size=3))
def test_messages_arrive_as_they_were_sent(sent: list[tuple[dict[str, object], bytes]]) -> None:
    messages = [Message(head, body) for head, body in sent]
    pipe = Dripping(b"".join(piece for message in messages for piece in packed(message)))
    assert [received(pipe.read) for _ in messages] == messages
    assert received(pipe.read) is None


@given(heads, st.binary(max_size=10), st.data())
def test_a_message_that_is_cut_off_is_none(head: dict[str, object], body: bytes, data: st.DataObject) -> None:
    whole = b"".join(packed(Message(head, body)))
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert received(io.BytesIO(whole[:cut]).read) is None


def test_half_a_surrogate_pair_passes() -> None:
    """A file's name may hold one."""
    message = Message({"name": "\udcff"})
    assert received(io.BytesIO(b"".join(packed(message))).read) == message
