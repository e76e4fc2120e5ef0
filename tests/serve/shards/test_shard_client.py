"""The way to a shard: each question is sent once, on a kept connection, and waits for nobody else's answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from pipeline.errors import ServiceError
from pipeline.query.shards.messages import Message
from pipeline.query.shards.panel import Panel
from pipeline.serve.shards.address import MEDIA_TYPE
from pipeline.serve.shards.client import HttpShard

SECONDS = 10.0
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: {MEDIA_TYPE}\r\n".encode()


def reply(content: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)


@dataclass
class Peer:
    """What listens in a shard's place. `answer`: the bytes for a question; `None`: hang up."""

    answer: Callable[[bytes], bytes | None]
    connections: int = 0
    questions: list[bytes] = field(default_factory=list)
    url: str = ""

    def serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                self.connections += 1
                threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while head := stream.readline():
                length = 0
                while (line := stream.readline().lower()).strip():
                    length = int(line.split(b":")[1]) if line.startswith(b"content-length:") else length
                assert head.startswith(b"POST /v1/shard ")
                self.questions.append(stream.read(length))
                if (answer := self.answer(self.questions[-1])) is None:
                    return
                connection.sendall(answer)
                if b"Connection: close" in answer:
                    return


@contextlib.contextmanager
def listening(answer: Callable[[bytes], bytes | None]) -> Iterator[Peer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = Peer(answer, url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        threading.Thread(target=peer.serve, args=(listener,), daemon=True).start()
        try:
            yield peer
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def test_each_question_is_asked_once_and_on_the_same_connection() -> None:
    with listening(lambda question: reply(b"to " + question)) as peer:
        shard = HttpShard(peer.url, SECONDS)
        for name in (b"one", b"two", b"three"):
            assert shard.ask(name) == b"to " + name
        assert (peer.questions, peer.connections) == ([b"one", b"two", b"three"], 1)


def test_an_answer_in_chunks_leaves_the_connection_as_it_was() -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with listening(lambda question: chunked) as peer:
        shard = HttpShard(peer.url, SECONDS)
        assert [shard.ask(b"1"), shard.ask(b"2")] == [b"abcde", b"abcde"]
        assert peer.connections == 1


def test_a_connection_that_the_shard_closed_is_replaced() -> None:
    fates = iter([reply(b"first"), None, reply(b"second"), None, reply(b"third")])
    with listening(lambda question: next(fates)) as peer:
        shard = HttpShard(peer.url, SECONDS)
        assert shard.ask(b"1") == b"first"
        assert shard.ask(b"2") == b"second"
        finish = shard.begin(b"3")
        assert finish is not None
        assert finish() == b"third"
        assert (peer.questions, peer.connections) == ([b"1", b"2", b"2", b"3", b"3"], 3)


def test_an_answer_that_breaks_off_is_none() -> None:
    half = HEAD + b"Content-Length: 9\r\nConnection: close\r\n\r\nhalf"
    with (
        listening(lambda question: half) as peer,
        pytest.raises(ServiceError, match=r"cannot be reached \(the answer broke off\)"),
    ):
        HttpShard(peer.url, SECONDS).ask(b"1")


def test_nothing_is_begun_that_would_have_to_wait() -> None:
    with listening(lambda question: reply(b"yes")) as peer:
        shard = HttpShard(peer.url, SECONDS)
        assert shard.begin(b"there is no connection yet") is None
        assert shard.ask(b"now there is") == b"yes"
        assert shard.begin(bytes(1 << 20)) is None
        assert peer.questions == [b"now there is"]


def test_all_shards_have_their_question_before_one_is_waited_for() -> None:
    met = threading.Barrier(2)

    def answer(question: bytes) -> bytes:
        if Message.of_bytes(question).fields["ask"] == "together":
            met.wait(SECONDS)
        return reply(Message({"fine": True}).to_bytes())

    with listening(answer) as one, listening(answer) as other:
        panel = Panel("index", [HttpShard(peer.url, SECONDS) for peer in (one, other)])
        for ask in ("alone", "together", "together"):
            answers = panel.ask(dict.fromkeys((0, 1), Message({"ask": ask})))
            assert [answers[place].fields for place in (0, 1)] == [{"fine": True}] * 2
        assert [peer.connections for peer in (one, other)] == [1, 1]
        panel.close()


def test_a_shard_that_is_late_does_not_make_others_late() -> None:
    held = threading.Event()

    def silent(question: bytes) -> bytes:
        if Message.of_bytes(question).fields["ask"] == "late":
            held.wait(SECONDS)
        return reply(Message({}).to_bytes())

    with listening(silent) as slow, listening(lambda question: reply(Message({}).to_bytes())) as quick:
        panel = Panel("index", [HttpShard(slow.url, 0.2), HttpShard(quick.url, 0.2)])
        panel.ask(dict.fromkeys((0, 1), Message({"ask": "soon"})))
        outcomes = panel.outcomes(dict.fromkeys((0, 1), Message({"ask": "late"})))
        held.set()
        assert isinstance(outcomes[0], ServiceError)
        assert "did not answer within 0.2 s" in str(outcomes[0])
        assert isinstance(outcomes[1], Message)
        panel.close()
