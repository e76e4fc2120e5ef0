"""Under load: so many at once, so many waiting, nobody for ever, and an end that finishes what was begun."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import httpx2
import pytest

from pipeline.config import Config, ServeLimits, ServeSettings
from pipeline.records import Encoded
from pipeline.serve.server import listen
from tests.faults import stub
from tests.support.live import Live, serving


class Held(stub.HashedEncoder):
    """Encodes `slow` only when it may."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_go = threading.Event()

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        for text in texts:
            if text.startswith("slow"):
                self.begun.append(text)
                assert self.may_go.wait(30)
        return super().encode_documents(texts)

    encode_queries = encode_documents


class Busy:
    """A service whose threads can be kept busy, and threads that ask it."""

    def __init__(self, live: Live, encoder: Held) -> None:
        self.live, self.encoder = live, encoder
        self._pool = ThreadPoolExecutor(16)

    def ask(self, text: str) -> Future[httpx2.Response]:
        """Ask meanwhile."""
        body = {"query": text, "k": 1, "mode": "dense"}
        return self._pool.submit(httpx2.post, f"{self.live.url}/v1/search", json=body, timeout=30)

    def gauge(self) -> int:
        """How many requests it has taken, by its own count."""
        lines = self.live.client.get("/metrics").text.splitlines()
        (line,) = [line for line in lines if line.startswith("hybrid_pipeline_in_flight ")]
        return int(float(line.split()[1]))


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that is about to happen."""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def busy(built: Config, request: pytest.FixtureRequest) -> Iterator[Busy]:
    """Of one thread, with room for one more request to wait."""
    encoder = Held()
    seconds = getattr(request, "param", 30.0)
    settings = ServeSettings(threads=1, queue=1, refresh_seconds=3600.0, limits=ServeLimits(seconds=seconds))
    with (
        stub.open_index(built.index_path, encoder=stub.encoder(encoder)) as index,
        serving({"only": index}, settings) as live,
    ):
        try:
            yield Busy(live, encoder)
        finally:
            encoder.may_go.set()


def test_a_full_queue_tells_when_to_come_again(busy: Busy) -> None:
    first = busy.ask("slow 1")
    until(lambda: busy.encoder.begun == ["slow 1"])
    second = busy.ask("slow 2")
    until(lambda: busy.gauge() == 2)
    refused = busy.ask("slow 3").result()
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
    assert int(refused.headers["retry-after"]) >= 1
    assert busy.live.get("/livez") == {"status": "alive"}
    assert busy.live.get("/readyz")["status"] == "ready"
    busy.encoder.may_go.set()
    assert [first.result().status_code, second.result().status_code] == [200, 200]
    until(lambda: busy.gauge() == 0)
    assert busy.ask("slow 4").result().status_code == 200
    assert 'hybrid_pipeline_rejected_total{reason="queue"} 1.0' in busy.live.client.get("/metrics").text


@pytest.mark.parametrize("busy", [0.5], indirect=True)
def test_nobody_waits_longer_than_the_limit(busy: Busy) -> None:
    first = busy.ask("slow 1")
    until(lambda: busy.encoder.begun == ["slow 1"])
    second = busy.ask("slow 2")
    assert [first.result().status_code, second.result().status_code] == [504, 504]
    assert busy.gauge() == 1  # the first still has its thread; the second never got one
    busy.encoder.may_go.set()
    until(lambda: busy.gauge() == 0)
    assert busy.ask("slow 3").result().status_code == 200
    assert busy.encoder.begun == ["slow 1", "slow 3"]


def test_what_was_begun_is_finished_in_the_end(busy: Busy) -> None:
    begun = busy.ask("slow 1")
    until(lambda: busy.encoder.begun == ["slow 1"])
    waiting = busy.ask("slow 2")
    until(lambda: busy.gauge() == 2)
    busy.live.server.should_exit = True
    until(lambda: not _listens(busy.live.url))
    assert not begun.done()
    busy.encoder.may_go.set()
    for answer in (begun.result(), waiting.result()):
        assert answer.status_code == 200
        assert answer.json()["results"][0]["hits"]


def _listens(url: str) -> bool:
    try:
        httpx2.get(f"{url}/livez", timeout=1)
    except httpx2.TransportError:
        return False
    return True


def test_small_answers_do_not_wait_for_an_acknowledgement() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        assert accepted.proto == socket.IPPROTO_TCP  # else asyncio does not set TCP_NODELAY
        accepted.close()
