"""A real S3 server on loopback, with a proxy before it that lets requests go wrong."""

from __future__ import annotations

import itertools
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.proxy import Proxy
from tests.remote.stores import Machine, Nights

KEY, SECRET = "AKIAEXAMPLE0000", "this-must-never-be-shown"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server, which lives in this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The proxy that this test's requests go through."""
    with Proxy(s3_server).running() as running:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


@pytest.fixture
def bucket_url(s3_server: str, proxy: Proxy) -> str:
    """The address of an index in a bucket of its own."""
    name = f"bucket{next(_numbers)}"
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{name}", method="PUT")).close()
    return f"s3://{name}/indexes/handbook"


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Three generations of a small index, built once."""
    return Nights.built(tmp_path_factory.mktemp("nights"))


@pytest.fixture
def folder_url(tmp_path: Path) -> str:
    """The address of an index in a folder of this test."""
    return f"file://{tmp_path}/store/handbook"


@pytest.fixture
def machines(tmp_path: Path, folder_url: str, nights: Nights) -> tuple[Machine, Machine]:
    """Two machines, and a store that is a folder."""
    return Machine(tmp_path / "a", folder_url, nights), Machine(tmp_path / "b", folder_url, nights)
