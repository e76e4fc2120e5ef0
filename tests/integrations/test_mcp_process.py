"""The MCP server as a process that talks on its pipes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import INVALID_REQUEST, PARSE_ERROR

from pipeline.job import build as builder
from pipeline.query.searcher import open_index
from tests.support.collection import config_for, write_documents

QUERY = "how do I roll back a bad build?"


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("process")
    write_documents(folder / "documents")
    config = config_for(folder)
    builder.build(config)
    return folder / "index"


def command(index: Path) -> list[str]:
    return [sys.executable, "-m", "pipeline", "mcp", "--index", f"docs={index}"]


async def test_as_a_process(configured: Path) -> None:
    program, *arguments = command(configured)
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    parameters = StdioServerParameters(command=program, args=arguments, env=environment, cwd=configured.parent)
    async with Client(parameters, read_timeout_seconds=120) as found:
        answer = (await found.call_tool("search", {"query": QUERY, "k": 1})).structured_content
        (content,) = (await found.read_resource(answer["hits"][0]["uri"])).contents
    assert answer["index"] == "docs"
    assert answer["hits"][0]["text"] in content.text


def test_standard_output_carries_the_protocol_alone(configured: Path) -> None:
    """Everything there is JSON-RPC, even though the log says something and a call fails."""

    def message(number: int, method: str, **params: Any) -> str:
        return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n"

    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "a test", "version": "1"},
    }
    asked = (
        message(1, "initialize", **hello)
        + '{"jsonrpc": "2.0", "method": "notifications/initialized"}\n'
        + message(2, "tools/call", name="search", arguments={"query": QUERY})
        + message(3, "tools/call", name="search", arguments={"query": ""})
        + message(4, "tools/list")
    )
    program, *arguments = command(configured)
    verbose = [program, *arguments[:2], "--verbose", *arguments[2:]]
    with subprocess.Popen(
        verbose, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(asked)
        process.stdin.flush()
        answers: dict[int, Any] = {}
        while len(answers) < 4:
            one = json.loads(process.stdout.readline())
            assert one["jsonrpc"] == "2.0"
            answers[one["id"]] = one
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(30) == 0
    assert answers.keys() == {1, 2, 3, 4}
    assert answers[2]["result"]["structuredContent"]["hits"]
    assert answers[3]["result"]["isError"] is True


UNREADABLE: list[tuple[str, int | str | None, int]] = [
    ('{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"half": "\\ud83d"}}', 7, PARSE_ERROR),
    ('{"jsonrpc": "2.0", "id": 7, ', None, PARSE_ERROR),
    ('{"jsonrpc": "2.0", "id": "seven", "method": 5}', "seven", INVALID_REQUEST),
    ('{"jsonrpc": "2.0", "id": true, "method": 5}', None, INVALID_REQUEST),
    ('{"jsonrpc": "2.0", "id": "\\ud83d", "method": "ping"}', None, PARSE_ERROR),
    ("[1]", None, INVALID_REQUEST),
    ("[" * 5000, None, PARSE_ERROR),
]
"""A line, the id that its answer has, and the code."""


def test_lines_that_cannot_be_read_are_answered(configured: Path) -> None:
    """Half a character can be written in JSON; who sent it would wait for ever. Blank lines say nothing."""
    asked = [*(line for line, _, _ in UNREADABLE), "", '{"jsonrpc": "2.0", "id": 8, "method": "ping"}']
    with subprocess.Popen(
        command(configured), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("\n".join(asked) + "\n")
        process.stdin.flush()
        found = [json.loads(process.stdout.readline()) for _ in range(len(UNREADABLE) + 1)]
        process.stdin.close()
        assert (process.stdout.read(), process.stderr.read(), process.wait(30)) == ("", "", 0)
    *refusals, ping = found
    expected = [(answered, code) for _, answered, code in UNREADABLE]
    assert [(one["id"], one["error"]["code"]) for one in refusals] == expected
    assert all(one["error"]["message"] for one in refusals)
    assert (ping["id"], "result" in ping) == (8, True)


def test_an_index_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path / "nothing"), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no index" in done.stderr
    assert done.stderr.count("\n") == 1


INSPECTOR = shutil.which("mcp-inspector")
"""npm i node@22 @modelcontextprotocol/inspector in some folder, and its node_modules/.bin first on PATH."""


@pytest.mark.skipif(INSPECTOR is None, reason="mcp-inspector is not on PATH")
def test_the_inspector_finds_the_same(configured: Path) -> None:
    def inspected(*arguments: str) -> Any:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(
            [str(INSPECTOR), "--cli", *command(configured), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    tools = inspected("--method", "tools/list")["tools"]
    assert {tool["name"] for tool in tools} == {"search", "read_document", "similar", "index_info"}
    assert all(tool["annotations"]["readOnlyHint"] is True for tool in tools)
    asked = ("--tool-arg", f"query={QUERY}", "--tool-arg", "k=2")
    answer = inspected("--method", "tools/call", "--tool-name", "search", *asked)["structuredContent"]
    with open_index(configured) as index:
        assert [one["chunk_id"] for one in answer["hits"]] == [hit.chunk_id for hit in index.search(QUERY, 2)]
    (content,) = inspected("--method", "resources/read", "--uri", answer["hits"][0]["uri"])["contents"]
    assert answer["hits"][0]["text"] in content["text"]
