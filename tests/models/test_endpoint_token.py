"""The token comes from the environment and shows nowhere; addresses that could leak it are refused."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from pipeline.errors import ConfigError, EncoderError
from pipeline.models.endpoint.encoders import endpoint_encoder
from pipeline.models.endpoint.settings import EndpointProtocol, EndpointSettings
from tests.models.endpoint_server import (
    DIMENSION,
    INFO,
    PROTOCOLS,
    EndpointServer,
    Fault,
    Made,
    error_of,
    running_server,
    vector,
)
from tests.models.endpoint_server import running_fixture as running_fixture
from tests.models.endpoint_server import server_fixture as server_fixture

TOKEN = "hf_VerySecretTokenValue123"


def test_the_token_comes_from_the_usual_variables(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(protocol: EndpointProtocol, **changes: Any) -> str | None:
        server.requests.clear()
        Made(server, protocol, **changes).dense(["a"])
        assert {headers.get("Authorization") for _, headers, _ in server.requests} == {
            headers.get("Authorization") for _, headers, _ in server.posts
        }
        return server.posts[0][1].get("Authorization")

    assert [sent(protocol) for protocol in PROTOCOLS] == [None, None, None]
    monkeypatch.setenv("HUGGINGFACEHUB_API_TOKEN", "second")
    assert sent("huggingface") == "Bearer second"
    monkeypatch.setenv("HF_TOKEN", "first\n")
    assert sent("huggingface") == "Bearer first"
    assert sent("tei") is None
    assert sent("tei", token_variable="HF_TOKEN") == "Bearer first"
    assert sent("huggingface", token_variable="") is None
    monkeypatch.setenv("OPENAI_API_KEY", "third")
    assert sent("openai") == "Bearer third"


def test_a_token_that_is_needed_and_missing() -> None:
    for protocol, names in (("huggingface", "HF_TOKEN or HUGGINGFACEHUB_API_TOKEN"), ("openai", "OPENAI_API_KEY")):
        encoder = endpoint_encoder(EndpointSettings("m", protocol))
        assert f"needs a token; set the environment variable {names}" in error_of(lambda e=encoder: e.dimension)
    named = endpoint_encoder(EndpointSettings("m", "tei", "http://127.0.0.1:9", token_variable="MY_TOKEN"))
    assert "MY_TOKEN" in error_of(lambda: named.encode_queries(["a"]))


def test_the_usual_variables_never_go_out_unencrypted() -> None:
    assert EndpointSettings("m", "openai", "http://gateway.example/v1").token_variables == ()
    assert EndpointSettings("m", "openai", "http://gateway.example/v1", token_variable="X").token_variables == (
        "X",
    )
    assert EndpointSettings("m", "openai", "https://gateway.example/v1").token_variables == ("OPENAI_API_KEY",)
    assert EndpointSettings("m", "openai", "http://[::1]:80/v1").token_variables == ("OPENAI_API_KEY",)


def test_the_token_shows_nowhere(
    server: EndpointServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx2", "httpcore2", "httpx", "httpcore", "pipeline"):
        caplog.set_level(logging.DEBUG, logger=name)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    echo = {"error": f"bad header 'Authorization: Bearer {TOKEN}'"}
    outcomes: list[list[Fault]] = [
        [],
        [Fault("status", 401, body=echo)],
        [Fault("status", 403, body=echo)],
        [Fault("status", 400, body=echo)],
        [Fault("status", 413, body=echo)],
        [Fault("status", 503, body=echo)] * 2,
        [Fault("status", 302, {"Location": f"https://elsewhere.example/{TOKEN}?t={TOKEN}"})],
        [Fault("answer", headers={"Content-Type": f"text/{TOKEN}"}, body=b"<")],
        [Fault("cut")] * 2,
        [Fault("html")],
    ]
    named = {"object": "list", "model": f"m-{TOKEN}", "data": [{"index": 0, "embedding": vector("a").tolist()}]}
    told: list[dict[str, Any]] = [
        {"model_id": f"m-{TOKEN}"},
        {"model_sha": TOKEN},
        {"model_type": {"embedding": {"pooling": TOKEN}}},
        {"model_type": {"embedding": {"pooling": f"splade{TOKEN}"}}, TOKEN: [TOKEN]},
    ]
    attempts: list[tuple[EndpointProtocol, list[Fault], Any]] = [
        *(("huggingface", faults, INFO) for faults in outcomes),
        ("openai", [Fault("answer", body=named)], INFO),
        *(("tei", [], INFO | change) for change in told),
    ]
    shown: list[str] = []
    for protocol, faults, server.info in attempts:
        server.faults = list(faults)
        made = Made(server, protocol, attempts=2, dimension=DIMENSION, token_variable="HF_TOKEN")
        try:
            made.dense(["a"])
            shown.append(repr(made.encoder.dense_fingerprint))
        except EncoderError as error:
            below = error.__traceback__ and error.__traceback__.tb_next  # without the locals of this function
            shown += traceback.TracebackException(type(error), error, below, capture_locals=True).format()
            chain: BaseException | None = error
            while chain is not None:
                shown += [str(chain), repr(chain), repr(vars(chain))]
                chain = chain.__cause__ or chain.__context__
        shown += [repr(made.encoder), repr(vars(made.encoder))]
        shown += [repr(vars(made.encoder._client)), repr(vars(made.encoder._client._client))]  # type: ignore[attr-defined]
    assert sum("EncoderError" in text or "PayloadTooLarge" in text for text in shown) >= len(outcomes) - 1
    assert server.posts[0][1]["Authorization"] == f"Bearer {TOKEN}"
    assert "HTTP Request" in caplog.text
    assert "answered by m-[token]" in caplog.text
    assert "runs m-[token]" in "\n".join(shown)
    assert "('revision', '[token]')" in "\n".join(shown)
    assert TOKEN not in "\n".join(shown)
    assert TOKEN not in caplog.text


def test_a_word_for_a_token_is_left_in_the_answers(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "test")  # as for a server that asks for none
    fields = dict(Made(server, "tei", token_variable="HF_TOKEN").encoder.dense_fingerprint.fields)  # type: ignore[union-attr]
    assert fields["model"] == "test/model"


def test_a_rejected_token_is_named_by_its_variable(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.token = "another"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    made = Made(server, "huggingface")
    message = error_of(lambda: made.dense(["a"]))
    assert "token rejected (401); HF_TOKEN must hold a valid token" in message
    assert made.waits == []
    monkeypatch.delenv("HF_TOKEN")
    bare = Made(server, "huggingface")
    assert "a token is needed (401) and none was sent; set HF_TOKEN or" in error_of(lambda: bare.dense(["a"]))


def test_a_token_no_header_can_carry_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in ("two words", "newline\nin it", "한국어"):
        monkeypatch.setenv("HF_TOKEN", bad)
        encoder = endpoint_encoder(EndpointSettings("m", "huggingface"))
        message = error_of(lambda e=encoder: e.dimension)
        assert message.startswith("HF_TOKEN: ")
        assert bad not in message


def test_redirects_are_not_followed(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_server() as elsewhere:
        for target in (elsewhere.url, server.url):
            server.faults = [Fault("status", 307, {"Location": f"{target}/x?key=1"})]
            made = Made(server, "huggingface")
            message = error_of(lambda made=made: made.dense(["a"]))
            assert f"307, a redirect to {target}/x, is not followed" in message
        assert elsewhere.requests == []
    assert len(server.posts) == 2


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "file:///etc/passwd",
        "host:8080",
        "https://user:s3cret@host/",
        "https://s3cret@host/",
        "https://host/?api_key=s3cret",
        "https://host/#s3cret",
        "https://host:s3cret/",
        "https://user:p@s3cret:99999/",
        "https://ho st/s3cret",
        "https:///s3cret",
        "http://[::1/s3cret",
    ],
)
def test_addresses_that_are_refused_are_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EndpointSettings("m", "tei", url)
    assert str(caught.value).startswith("encoder.endpoint.url: ")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"protocol": "grpc"}, "endpoint.protocol"),
        ({"protocol": "openai", "leg": "lexical"}, "lexical_endpoint.leg"),
        ({"protocol": "tei", "url": ""}, "endpoint.url"),
        ({"query_instruction": "{text} {text}"}, "query_instruction"),
        ({"batch_texts": 0}, "endpoint.batch_texts"),
        ({"attempts": 0}, "endpoint.attempts"),
        ({"timeout_seconds": 0}, "endpoint.timeout_seconds"),
        ({"dimension": 8, "truncate_dim": 9}, "truncate_dim"),
        ({"model": " "}, "model"),
        ({"model": " ", "leg": "lexical"}, "lexical"),
        ({"attempts": 0, "leg": "lexical"}, "lexical_endpoint.attempts"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], key: str) -> None:
    values: dict[str, Any] = {"model": "m", "protocol": "tei", "url": "http://127.0.0.1:1", **changes}
    with pytest.raises(ConfigError, match=rf"^encoder\.{key}: "):
        EndpointSettings(**values)
