"""The client of the search service: the same hits as in process, bounded attempts, errors that hold no key."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pipeline.config import FusionSettings, RerankSettings
from pipeline.errors import ConfigError, PipelineError, QueryError, ServiceError
from pipeline.integrations.parameters import SearchParameters
from pipeline.integrations.service import ATTEMPTS, KEY_VARIABLE, ServiceSettings, ServiceSource
from pipeline.integrations.source import IndexSource
from pipeline.query.searcher import Index, open_index
from tests.integrations.search_server import Fault, SearchServer
from tests.support.live import serving

QUERY = "how do I roll back a bad build?"
KEY = "a-key-of-some-length"
BUSY = Fault(429, {"detail": "the queue is full"}, {"Retry-After": "3"})


def source(server: SearchServer, waits: list[float] | None = None, **settings: Any) -> ServiceSource:
    pauses: list[float] = [] if waits is None else waits
    return ServiceSource(ServiceSettings(url=server.url, **settings), sleep=pauses.append)


@pytest.mark.parametrize(
    "parameters",
    [
        SearchParameters(),
        SearchParameters(k=3, mode="dense", explain=True),
        SearchParameters(k=2, where="lang = 'ko'", collapse=True, context=1, explain=True),
        SearchParameters(fusion="rrf", rerank="none", distinct=0.5),
        SearchParameters(fusion=FusionSettings(method="rrf", rrf_k=10.0)),
    ],
)
def test_hits_are_those_of_the_index(server: SearchServer, index: Index, parameters: SearchParameters) -> None:
    assert source(server).search(QUERY, parameters) == IndexSource(index).search(QUERY, parameters)


def test_only_what_is_said_is_sent(server: SearchServer) -> None:
    source(server, index="main").search(QUERY, SearchParameters(where="lang = 'ko'", k=1))
    ((path, _, body),) = server.seen
    assert path == "/v1/search"
    assert body == {"query": QUERY, "index": "main", "filter": "lang = 'ko'", "k": 1}


def test_a_field_of_a_later_service_does_no_harm(server: SearchServer) -> None:
    good = server.answer({"query": QUERY, "k": 2})
    for hit in good.body["results"][0]["hits"]:
        hit["new"] = 1
        for leg in hit["legs"].values():
            leg["new"] = 1
    server.faults.append(good)
    assert len(source(server).search(QUERY, SearchParameters())) == 2


def test_a_busy_service_is_asked_again_when_it_says(server: SearchServer) -> None:
    server.faults += [BUSY, Fault(None)]
    waits: list[float] = []
    assert source(server, waits).search(QUERY, SearchParameters(k=1))
    assert waits == [3.0, 0.4]
    assert len(server.seen) == ATTEMPTS


def test_attempts_end(server: SearchServer) -> None:
    server.faults += [BUSY] * (ATTEMPTS + 1)
    with pytest.raises(ServiceError, match=f"429: the queue is full, after {ATTEMPTS} attempts"):
        source(server).search(QUERY, SearchParameters())
    assert len(server.seen) == ATTEMPTS


def test_no_wait_is_longer_than_an_answer_is_worth(server: SearchServer) -> None:
    server.faults.append(Fault(503, b"", {"Retry-After": "3600"}))
    waits: list[float] = []
    source(server, waits).search(QUERY, SearchParameters())
    assert waits == [5.0]


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(422, {"detail": "k: at most 1,000 here"}), QueryError, "422: k: at most 1,000 here$"),
        (Fault(404, {"detail": "there is no index of this name"}), QueryError, "404: there is no index"),
        (Fault(401, {"detail": "no key"}), ServiceError, f"no key; give api_key, or set {KEY_VARIABLE}"),
        (Fault(500, b"<html>"), ServiceError, "status 500; check url"),
        (Fault(302, b"", {"Location": "http://127.0.0.1:1/"}), ServiceError, "status 302; check url"),
        (Fault(200, b"<html>"), ServiceError, "not that of a search service"),
        (Fault(200, {"results": []}), ServiceError, "not that of a search service"),
        (Fault(200, {"results": [{"hits": [{"rank": 1}]}]}), ServiceError, "not that of a search service"),
        (Fault(200, [1]), ServiceError, "not that of a search service"),
    ],
)
def test_other_answers_are_errors_at_once(
    server: SearchServer, fault: Fault, kind: type[PipelineError], words: str
) -> None:
    server.faults.append(fault)
    with pytest.raises(kind, match=words):
        source(server).search(QUERY, SearchParameters())
    assert len(server.seen) == 1


def test_a_query_that_makes_no_sense_is_the_same_error_as_in_process(server: SearchServer, index: Index) -> None:
    for one in (source(server), IndexSource(index)):
        with pytest.raises(QueryError, match="lagn"):
            one.search(QUERY, SearchParameters(where="lagn = 'ko'"))


def test_a_service_takes_the_name_of_a_reranker(server: SearchServer) -> None:
    with pytest.raises(QueryError, match="takes the name of a reranker"):
        source(server).search(QUERY, SearchParameters(rerank=RerankSettings(model="multivectors")))
    assert not server.seen


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_the_key_goes_with_each_request_and_into_no_message(
    server: SearchServer, given: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    if given == "environment":
        monkeypatch.setenv(KEY_VARIABLE, f" {KEY}\n")
    one = source(server, api_key=KEY if given == "argument" else None, headers={"X-Groups": "hr"})
    server.faults.append(Fault(403, {"detail": f"no such key: {KEY}"}, {"X-Echo": KEY}))
    with pytest.raises(ServiceError, match=r"no such key: \[token\]; give another api_key") as caught:
        one.search(QUERY, SearchParameters())
    _, headers, _ = server.seen[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["X-Groups"] == "hr"
    assert KEY not in f"{caught.value}{caught.value.__cause__}{caught.value.__context__}{caplog.text}{vars(one)}"


def test_a_service_that_is_not_there() -> None:
    with pytest.raises(ServiceError, match="see whether `pipeline serve` runs there"):
        ServiceSource(ServiceSettings(url="http://127.0.0.1:9"), sleep=lambda _: None).search(
            QUERY, SearchParameters()
        )


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://x", "http://", "http://u:pass@x", "http://x?key=pass", "http://[", 3, None]
)
def test_what_is_no_address_is_refused_and_not_quoted(url: Any) -> None:
    with pytest.raises(ConfigError, match=r"^url: give the service's address") as caught:
        ServiceSettings(url=url)
    assert "pass" not in str(caught.value)


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="api_key"):
        ServiceSource(ServiceSettings(url="http://127.0.0.1:9", api_key="two words"))


@pytest.mark.parametrize(
    "headers",
    [["a"], "a: b", {"a": 5}, {5: "a"}, {"a": "pass\nX-Other: 1"}, {"a b": "pass"}, {"a:": "pass"}, {"a": "암호"}],
)
def test_headers_that_cannot_be_sent_are_refused_and_not_quoted(headers: Any) -> None:
    with pytest.raises(ConfigError, match=r"^headers: give a mapping of names to values") as caught:
        ServiceSettings(url="http://127.0.0.1:9", headers=headers)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(("url", "warned"), [("http://example.org", True), ("http://127.0.0.1:8000", False)])
def test_a_key_in_clear_text_is_warned_of(url: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    ServiceSource(ServiceSettings(url=url, api_key=KEY))
    assert ("goes out unencrypted" in caplog.text) is warned


def test_the_real_service_gives_the_hits_of_the_index(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asked = SearchParameters(k=3, where="lang = 'en'", fusion="rrf", collapse=True, context=1, explain=True)
    with serving({"handbook": open_index(index.path)}) as live:
        remote = ServiceSource(ServiceSettings(url=live.url, index="handbook"))
        for parameters in (SearchParameters(), asked):
            assert remote.search(QUERY, parameters) == IndexSource(index).search(QUERY, parameters)
        with pytest.raises(QueryError, match="lagn"):
            remote.search(QUERY, SearchParameters(where="lagn = 'ko'"))
        with pytest.raises(QueryError, match="there is no index of this name"):
            ServiceSource(ServiceSettings(url=live.url, index="other")).search(QUERY, asked)
