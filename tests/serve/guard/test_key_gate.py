"""Who may ask for what, by which key, and what everybody else is told."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx2
import pytest
from starlette.datastructures import Headers

from pipeline.config import Config, ServeSettings
from pipeline.errors import ConfigError
from pipeline.serve.app import ENDPOINTS
from pipeline.serve.guard.gate import OPEN, presented
from pipeline.serve.guard.keys import VARIABLE, load_keys
from tests.faults import stub
from tests.support.live import Live, serving

READ, METRICS = "r" * 30, "m" * 30
ORIGIN = "https://pages.example.org"


@pytest.fixture(scope="module")
def keyed(built: Config) -> Iterator[Live]:
    """A service with keys, that pages of one origin may call."""
    keys = load_keys(None, {VARIABLE: f"read:{READ},metrics:{METRICS}"})
    settings = ServeSettings(refresh_seconds=3600.0, cors_origins=[ORIGIN])
    with stub.open_index(built.index_path) as index, serving({"first": index}, settings, keys) as live:
        yield live


def bearer(key: str) -> dict[str, str]:
    """The header of a program."""
    return {"Authorization": f"Bearer {key}"}


def test_every_address_but_two_asks_for_a_key(keyed: Live) -> None:
    paths = {endpoint.path for endpoint in ENDPOINTS} | {
        "/",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/nowhere",
        "//",
    }
    for path in sorted(paths - OPEN):
        for headers in ({}, bearer("x" * 30), {"X-API-Key": "x"}, {"Authorization": READ}):
            problem = keyed.refused("GET", path, 401, headers=headers)
            assert "key" in problem["detail"]
    for path in OPEN:
        assert keyed.client.get(path).status_code == 200


def test_a_key_comes_as_a_bearers_a_browsers_or_in_its_own_header(keyed: Live) -> None:
    basic = "Basic " + base64.b64encode(f"anyone:{READ}".encode()).decode()
    for headers in (bearer(READ), {"X-API-Key": READ}, {"Authorization": basic}):
        assert keyed.client.get("/v1/search", params={"q": "plums"}, headers=headers).status_code == 200


def test_a_key_is_for_what_its_role_says(keyed: Live) -> None:
    assert keyed.client.get("/metrics", headers=bearer(METRICS)).status_code == 200
    keyed.refused("GET", "/v1/search?q=plums", 403, headers=bearer(METRICS))
    keyed.refused("GET", "/v1/documents/0.txt", 403, headers=bearer(METRICS))
    keyed.refused("GET", "/metrics", 403, headers=bearer(READ))
    assert keyed.client.get("/docs", headers=bearer(READ)).status_code == 200


def test_only_who_has_a_key_is_told_which_indexes_are_ready(keyed: Live) -> None:
    assert keyed.get("/readyz") == {"status": "ready", "indexes": {}}
    assert keyed.get("/readyz", headers=bearer("x" * 30))["indexes"] == {}
    assert set(keyed.get("/readyz", headers=bearer(METRICS))["indexes"]) == {"first"}


def test_a_browser_asks_its_user(keyed: Live) -> None:
    program = keyed.client.get("/v1/indexes")
    assert program.headers["www-authenticate"].startswith("Bearer")
    person = keyed.client.get("/", headers={"Accept": "text/html,*/*"})
    assert person.headers["www-authenticate"].startswith("Basic")


def test_who_was_refused_is_counted(keyed: Live) -> None:
    def count() -> float:
        text = keyed.client.get("/metrics", headers=bearer(METRICS)).text
        (line,) = [
            one for one in text.splitlines() if one.startswith('hybrid_pipeline_rejected_total{reason="key"}')
        ]
        return float(line.split()[-1])

    keyed.client.get("/v1/indexes")
    before = count()
    keyed.client.get("/v1/indexes")
    assert count() == before + 1


def test_the_description_says_that_there_are_keys(keyed: Live, live: Live) -> None:
    described = keyed.get("/openapi.json", headers=bearer(READ))
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == ("401" in operation["responses"]) == (path not in OPEN)
    assert "securitySchemes" not in live.get("/openapi.json")["components"]


def test_pages_of_other_origins_may_call_only_if_they_are_named(keyed: Live, live: Live) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    allowed = keyed.client.options("/v1/search", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    answer = keyed.client.get("/v1/indexes", headers={"Origin": ORIGIN, **bearer(READ)})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    other = keyed.client.get("/v1/indexes", headers={"Origin": "https://evil.example", **bearer(READ)})
    assert "access-control-allow-origin" not in other.headers
    live.refused("OPTIONS", "/v1/search", 405, headers=asked)
    for path in ("/v1/indexes", "/nowhere"):
        found = live.client.get(path, headers={"Origin": ORIGIN}).headers
        assert not [name for name in found if name.startswith("access-control")]


@pytest.mark.parametrize("origin", ["*", "https://*", "example.org", "https://example.org/page", "null"])
def test_origins_are_named_one_by_one(origin: str) -> None:
    with pytest.raises(ConfigError, match="cors_origins"):
        ServeSettings(cors_origins=[origin])


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"authorization": "Bearer  abc "}, "abc"),
        ({"authorization": "bearer abc"}, "abc"),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Basic !!!"}, None),
        ({"authorization": "Basic " + base64.b64encode(b"\xff:x").decode()}, None),
        ({"authorization": "Basic " + base64.b64encode(b"nocolon").decode()}, None),
        ({"authorization": "Basic " + base64.b64encode(b"a:b:c").decode()}, "b:c"),
        ({"authorization": "Digest abc"}, None),
        ({"x-api-key": ""}, None),
    ],
)
def test_where_a_key_stands(headers: dict[str, str], key: str | None) -> None:
    assert presented(Headers(headers)) == key


SECURITY = (
    "x-content-type-options",
    "x-frame-options",
    "content-security-policy",
    "referrer-policy",
    "cache-control",
)


def test_every_answer_has_its_headers_and_every_error_is_a_problem(
    live: Live, keyed: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> bytes:
        raise RuntimeError("a secret in /srv/folder")

    monkeypatch.setattr(live.service.metrics, "text", fails)
    asked: list[tuple[Live, str, str, int]] = [
        (live, "GET", "/metrics", 500),
        (live, "GET", "/nowhere", 404),
        (live, "DELETE", "/v1/search", 405),
        (live, "BREW", "/v1/search", 405),
        (live, "PUT", "/", 405),
        (live, "GET", "/v1/search", 422),
        (live, "POST", "/v1/search", 415),
        (live, "GET", "/v1/documents/none", 404),
        (keyed, "GET", "/", 401),
    ]
    for service, method, path, status in asked:
        answer: httpx2.Response = service.client.request(method, path)
        assert answer.status_code == status, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["status"], problem["request_id"]) == (status, answer.headers["x-request-id"])
        assert problem["error"]["message"] == problem["detail"]
        assert all(name in answer.headers for name in SECURITY), answer.headers
        assert "secret" not in answer.text
        assert "server" not in answer.headers
    assert live.client.request("DELETE", "/v1/search").headers["allow"] == "GET, HEAD, POST"
