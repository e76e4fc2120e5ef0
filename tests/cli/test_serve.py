"""The command: it listens, says where, answers, and a signal ends it in peace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from pipeline.cli.common import EXIT_BAD_CONFIGURATION, EXIT_FAILED
from tests.support.collection import write_documents
from tests.support.command_line import refused, run

CONFIG = "index: index\nsources: [{path: documents}]\nencoder: {model: none}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration and its index, of the lexical leg alone."""
    base = tmp_path_factory.mktemp("command")
    write_documents(base / "documents")
    (base / "config.yaml").write_text(CONFIG, "utf-8")
    assert run(base, "build").exit_code == 0
    return base


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and the address that it tells."""
    command = [sys.executable, "-m", "pipeline", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), process.stderr and process.stderr.read()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_until_a_signal_ends_it(folder: Path, number: signal.Signals) -> None:
    with started(folder) as (process, url):
        answer = httpx2.get(f"{url}/v1/search", params={"q": "rank fusion", "k": 1}).json()
        assert (answer["index"], answer["results"][0]["hits"][0]["doc_id"]) == ("index", "en/fusion.md")
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_several_indexes_have_names(folder: Path) -> None:
    with started(folder, "--index", "one=index", "--index", "two=index") as (_, url):
        names = [one["name"] for one in httpx2.get(f"{url}/v1/indexes").json()["indexes"]]
    assert names == ["one", "two"]


def test_what_it_cannot_serve_it_refuses_in_one_line(folder: Path) -> None:
    refused(folder, "serve", "--index", "folder", code=2, says="give NAME=DIR")
    refused(folder, "serve", "--index", "a/b=index", code=2, says="letters, digits")
    refused(folder, "serve", "--index", "a=index", "--index", "a=index", code=2, says="twice")
    refused(folder, "serve", "--index", "a=nowhere", code=EXIT_FAILED, says="no index here")
    elsewhere = ("serve", "--host", "203.0.113.1")
    refused(folder, *elsewhere, "--insecure", code=EXIT_BAD_CONFIGURATION, says="choose another --host")
    refused(
        folder, *elsewhere, code=EXIT_BAD_CONFIGURATION, says="without a key; give --keys FILE or PIPELINE_API_KEYS"
    )
    refused(folder, "serve", "--host", "0.0.0.0", code=EXIT_BAD_CONFIGURATION, says="without a key")
    refused(folder, "serve", "--keys", "none.yaml", code=EXIT_BAD_CONFIGURATION, says="no such file of keys")


def test_a_key_that_was_made_opens_and_lets_it_listen_anywhere(folder: Path, tmp_path: Path) -> None:
    made = run(folder, "key", "web")
    key = made.stderr.split()[-1]
    assert key not in made.stdout
    (tmp_path / "keys.yaml").write_text(f"keys:\n{made.stdout}")
    with started(folder, "--keys", str(tmp_path / "keys.yaml"), "--host", "127.0.0.1") as (_, url):
        assert httpx2.get(f"{url}/v1/indexes").status_code == 401
        assert httpx2.get(f"{url}/v1/indexes", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert httpx2.get(f"{url}/metrics", headers={"X-API-Key": key}).status_code == 403
    given = run(folder, "key", "other", "--role", "metrics", "--role", "read", "--stdin", stdin=f"{key}\n")
    assert given.stdout == made.stdout.replace("web", "other").replace("[read]", "[metrics, read]")
    assert given.stderr == ""
    refused(folder, "key", "short", "--stdin", stdin="abc", code=2, says="at least 20 characters")
    refused(folder, "key", "a b", code=2, says="letters, digits")


def test_shards_and_their_front_answer_as_the_index_does(folder: Path) -> None:
    asked = {"q": "rank fusion", "k": 5, "explain": True}
    with started(folder) as (_, url):
        whole = httpx2.get(f"{url}/v1/search", params=asked).json()
    with (
        started(folder, "--shard", "0/2") as (shard, one),
        started(folder, "--shard", "1/2") as (_, two),
        started(folder, "--shards", f"{one},{two}") as (front, url),
    ):
        assert httpx2.get(f"{url}/v1/search", params=asked).json() == whole
        assert httpx2.get(f"{one}/readyz").json()["indexes"] == {"shard 0/2": {"generation": 1, "refused": None}}
        for process in (front, shard):
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_what_is_no_shard_or_front_it_refuses_in_one_line(folder: Path) -> None:
    refused(folder, "serve", "--shard", "2/2", code=EXIT_BAD_CONFIGURATION, says="give i/n, such as 0/3")
    refused(folder, "serve", "--shard", "0/2", "--shards", "http://a", code=2, says="a shard or a front, not both")
    refused(folder, "serve", "--shards", "http://a", "--index", "a=index", code=2, says="leave --index out")
    refused(folder, "serve", "--shard", "0/2", "--index", "a=b", "--index", "c=d", code=2, says="of one index")
    refused(folder, "serve", "--shards", "a:1", code=EXIT_BAD_CONFIGURATION, says="give addresses such as")
    refused(folder, "serve", "--shards", ",", code=EXIT_BAD_CONFIGURATION, says="give at least one")
    refused(
        folder, "serve", "--shards", "http://127.0.0.1:1", code=EXIT_FAILED, says="shard 0/1: http://127.0.0.1:1"
    )
