"""Transient faults change nothing; final ones end the call, and lose nothing that was answered."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.endpoint.encoders import endpoint_encoder
from pipeline.models.endpoint.http import may_pass, retry_after_seconds
from pipeline.models.endpoint.settings import EndpointProtocol, EndpointSettings
from tests.models.endpoint_server import (
    DIMENSION,
    PROTOCOLS,
    TEXTS,
    EndpointServer,
    Fault,
    Made,
    error_of,
    expected,
    running_server,
)
from tests.models.endpoint_server import running_fixture as running_fixture
from tests.models.endpoint_server import server_fixture as server_fixture

TRANSIENT = [Fault("status", status) for status in (429, 502, 503, 504)] + [
    Fault("cut"),
    Fault("cut in the body"),
    Fault("html", 502),
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=lambda fault: f"{fault.kind}{fault.status or ''}")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_transient_faults_are_tried_again(server: EndpointServer, protocol: EndpointProtocol, fault: Fault) -> None:
    server.faults = [fault, fault]
    made = Made(server, protocol)
    np.testing.assert_allclose(made.dense(TEXTS), expected(TEXTS), atol=1e-6)
    assert len(made.waits) == 2
    assert set(server.answered.values()) == {1}


def test_a_time_out_is_tried_again(server: EndpointServer) -> None:
    server.faults = [Fault("slow")]
    made = Made(server, timeout_seconds=0.1)
    np.testing.assert_allclose(made.dense(["a"]), expected(["a"]), atol=1e-6)
    assert made.waits


def test_waits_double_with_jitter_and_are_capped(server: EndpointServer) -> None:
    server.faults = [Fault("status", 503)] * 7
    made = Made(server, attempts=8, max_wait_seconds=10)
    made.dense(["a"])
    for wait, full in zip(made.waits, [0.5, 1, 2, 4, 8, 16, 32], strict=True):
        assert min(10, full / 2) <= wait <= min(10, full)


def test_retry_after_is_honoured_in_seconds_and_as_a_date_and_is_capped(
    server: EndpointServer, caplog: pytest.LogCaptureFixture
) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    asked = ["7", moment, "86400", "soon"]
    server.faults = [Fault("status", 429, {"Retry-After": value}) for value in asked]
    made = Made(server, max_wait_seconds=60)
    made.dense(["a"])
    assert made.waits[0] == 7
    assert 30 < made.waits[1] <= 40
    assert made.waits[2] == 60
    assert 2 <= made.waits[3] <= 4
    told = [record.getMessage().split("; ")[-1] for record in caplog.records if record.levelname == "WARNING"]
    assert [line.split(" in ")[0] for line in told] == ["attempt 3", "attempt 4"]  # those of ten seconds or more


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("nan", None),
        ("soon", None),
        ("0", 0),
        ("1.5", 1.5),
        ("-5", 0),
        ("inf", float("inf")),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2026 07:28:30 -0000", 30),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0),
        ("Wed, 99 Oct 2026 07:27:00 GMT", None),
    ],
)
def test_retry_after_values(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, datetime(2026, 10, 21, 7, 28, tzinfo=UTC)) == seconds


def test_attempts_are_bounded_and_the_error_says_what_and_how_often(server: EndpointServer) -> None:
    server.choose = lambda texts: Fault("status", 503, body={"error": "overloaded"})
    made = Made(server, attempts=4)
    message = error_of(lambda: made.dense(["a"]))
    assert message.startswith(f"{server.url}/embed: status 503 (overloaded), after 4 attempts; ")
    assert len(server.posts) == 4
    assert len(made.waits) == 3


def test_nobody_listens() -> None:
    with running_server() as gone:
        made = Made(gone, "openai", attempts=2)
    assert "the connection failed" in error_of(lambda: made.dense(["a"]))
    assert len(made.waits) == 1


@pytest.mark.parametrize(
    ("cause", "passes"),
    [
        (ConnectionRefusedError(), True),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True),
        (socket.gaierror(socket.EAI_NONAME, "no such host"), False),
        (ssl.SSLCertVerificationError(), False),
    ],
)
def test_a_host_that_is_not_there_and_a_bad_certificate_are_final(cause: OSError, passes: bool) -> None:
    error = OSError("as the HTTP library reports it")
    error.__cause__ = cause
    assert may_pass(error) is passes


def test_a_wait_ends_at_once_when_another_request_fails(
    server: EndpointServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watched(threading.Event):
        cut_short: ClassVar[list[bool]] = []

        def wait(self, timeout: float | None = None) -> bool:
            was_set = super().wait(timeout)
            if timeout is not None:
                self.cut_short.append(was_set)
            return was_set

    def choose(texts: list[str]) -> Fault:
        return Fault("status", 429, {"Retry-After": "30"}) if "text number 0 " in texts[0] else Fault("status", 400)

    server.choose = choose
    encoder = endpoint_encoder(EndpointSettings("test/model", "tei", server.url, batch_texts=1, concurrency=2))
    monkeypatch.setattr(threading, "Event", Watched)
    assert "status 400" in error_of(lambda: encoder.encode_documents(TEXTS[:2]))
    assert Watched.cut_short == [True]
    assert len(server.posts) == 2


FAULTS = st.lists(
    st.sampled_from(
        [*TRANSIENT, Fault("reordered"), Fault("status", 413), Fault("status", 429, {"Retry-After": "3"})]
    ),
    max_size=8,
)


@settings(max_examples=60)
@given(
    faults=FAULTS,
    slow=st.integers(0, 30),
    batch_texts=st.integers(2, 20),
    concurrency=st.integers(1, 4),
    count=st.integers(1, 40),
)
def test_any_mix_of_transient_faults_changes_nothing(
    running: EndpointServer, faults: list[Fault], slow: int, batch_texts: int, concurrency: int, count: int
) -> None:
    running.reset()
    left = [*faults[:slow], Fault("slow"), *faults[slow:]] if slow < len(faults) else list(faults)
    lock = threading.Lock()

    def choose(texts: list[str]) -> Fault | None:
        with lock:  # a 413 for a single text is final, so it waits for a larger request
            return left.pop(0) if left and (left[0].status != 413 or len(texts) > 1) else None

    running.choose = choose
    timeout = 0.1 if slow < len(faults) else 60
    made = Made(
        running, "openai", batch_texts=batch_texts, concurrency=concurrency, attempts=20, timeout_seconds=timeout
    )
    np.testing.assert_array_equal(made.dense(TEXTS[:count]), expected(TEXTS[:count]))
    if timeout == 60:  # on a busy machine a right answer may come too late, and is then asked for again
        assert running.answered == dict.fromkeys(TEXTS[:count], 1)


@pytest.mark.parametrize("status", [400, 404, 408, 409, 422, 424, 500])
def test_other_statuses_are_final(server: EndpointServer, status: int) -> None:
    server.faults = [Fault("status", status, body={"error": {"message": "no\nsuch   thing"}})]
    made = Made(server)
    message = error_of(lambda: made.dense(["a"]))
    assert f"{server.url}/embed: status {status} (no such thing)" in message
    assert made.waits == []
    assert len(server.posts) == 1


def test_what_was_answered_before_a_failure_is_not_asked_for_again(server: EndpointServer) -> None:
    server.choose = lambda texts: Fault("status", 400) if TEXTS[20] in texts else None
    made = Made(server, batch_texts=4, concurrency=2)
    assert "status 400" in error_of(lambda: made.dense(TEXTS))
    assert server.answered
    server.choose = None
    np.testing.assert_array_equal(made.dense(TEXTS), expected(TEXTS))
    assert server.answered == dict.fromkeys(TEXTS, 1)
    made.dense(TEXTS[:1])  # nothing is kept after a success: memory is bounded by what failed
    assert server.answered[TEXTS[0]] == 2


def test_a_query_between_two_tries_loses_nothing(server: EndpointServer) -> None:
    server.choose = lambda texts: Fault("status", 400) if TEXTS[20] in texts else None
    made = Made(server, batch_texts=4, concurrency=1)
    error_of(lambda: made.dense(TEXTS))
    server.choose = None
    made.encoder.encode_queries(["a question"])
    made.dense(TEXTS)
    assert set(server.answered.values()) == {1}


def test_half_of_a_halved_request_is_kept(server: EndpointServer) -> None:
    server.max_characters = 60
    made = Made(server)
    texts = ["a", "b", "c", "long " * 20]
    error_of(lambda: made.dense(texts))
    server.max_characters = None
    made.dense(texts)
    assert server.answered == dict.fromkeys(texts, 1)


def test_kept_rows_are_bounded(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.models.endpoint.batches.KEPT_BYTES", 5 * DIMENSION * 4)
    server.choose = lambda texts: Fault("status", 400) if "z" in texts else None
    made = Made(server, batch_texts=1, concurrency=1)
    texts = [*"abcdefgh", "z"]
    error_of(lambda: made.dense(texts))
    server.choose = None
    made.dense(texts)
    assert list(server.answered.values()).count(1) == 4 + 1
    assert list(server.answered.values()).count(2) == 4
