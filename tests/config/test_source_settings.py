"""A source is one thing, with the keys that make sense for it; what is wrong is said of the right item."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import SourceSettings, parse_config
from pipeline.errors import ConfigError

FILE, COMMAND = {"path": "docs"}, {"command": "export"}
SQL = {"sql": "SELECT 1", "dsn_env": "DB"}


@pytest.mark.parametrize(
    ("sources", "says"),
    [
        ([FILE, {}], r"sources\.1: a source has one of `path`, `command`, .*names nothing to index; give it one"),
        ([{**FILE, **COMMAND}], r"sources\.0: .*this one has `path` and `command`; make a source of each"),
        (
            [FILE, {**COMMAND, "include": ["a"]}],
            r"sources\.1: `include` makes no sense beside `command`: it chooses",
        ),
        ([{**FILE, "dsn_env": "X"}], r"`dsn_env` makes no sense beside `path`: only `sql` connects to a database"),
        ([{**FILE, "timeout_seconds": 3.0}], r"`timeout_seconds` makes no sense beside `path`"),
        ([{**COMMAND, "vector_field": "v"}], r"`vector_field` makes no sense beside `command`"),
        ([{"sql": "SELECT 1"}], r"sources\.0: `sql` needs `dsn_env`, the name of the environment variable"),
        ([{"sql": "SELECT 1", "dsn_env": "sqlite:///a"}], r"`sources\.0\.dsn_env`: .*match pattern"),
        ([{"python": "module"}], r"`python: module` is no function; write it as package\.module:function"),
        ([{"python": "a b:c"}], r"is no function"),
        ([{"command": "  "}], r"sources\.0: `command` is empty"),
        ([{"command": []}], r"sources\.0\.command: expected a text, or a list of texts"),
        ([{"command": 3}], r"sources\.0\.command: expected a text"),
        ([{"command": ["a", 3]}], r"sources\.0\.command: expected a text"),
        ([{**COMMAND, "name": "a/b"}], r"`name: 'a/b'` cannot be shown as one"),
        (
            [{**FILE, "requests_per_second": 2.0}],
            r"`requests_per_second` makes no sense beside `path`: only `urls`",
        ),
        ([{"git": "a", "user_agent": "me"}], r"`user_agent` makes no sense beside `git`: only `urls`"),
        ([{"urls": "a", "user_agent": "me\nCookie: x"}], r"`sources\.0\.user_agent`: .*match pattern"),
        ([{"urls": "a", "requests_per_second": 0}], r"`sources\.0\.requests_per_second`: .*greater than 0"),
        ([{"urls": ["a", "b"]}, {"urls": ["a", "b"]}], r"`urls: a and 1 more` stands there twice"),
        ([{**FILE, "name": "a"}], r"`name` makes no sense beside `path`: its files have names of their own"),
        (
            [{"command": "tool a"}, FILE, {"command": "tool b"}],
            r"sources\.0: another source is called `command: tool`",
        ),
        ([{"git": "repo"}, {"git": "repo"}], r"`git: repo` stands there twice; remove one"),
    ],
)
def test_what_is_wrong_is_said_with_the_cure(sources: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_config({"sources": sources})


@pytest.mark.parametrize(
    ("source", "label"),
    [
        (FILE, "docs"),
        ({"command": "./tools/export.sh --all | jq ."}, "command: export.sh"),
        ({"command": "TOKEN=s3cret LANG=C /opt/bin/export --password x"}, "command: export"),
        ({"command": ["bin/export", "s3cret"]}, "command: export"),
        ({"command": "(cd a && make)"}, "command: cd"),
        ({"command": "A=1"}, "command: shell"),
        ({**COMMAND, "name": "wiki"}, "command: wiki"),
        ({"python": "tools.wiki:pages"}, "python: tools.wiki:pages"),
        (SQL, "sql: DB"),
        ({**SQL, "name": "tickets"}, "sql: tickets"),
    ],
)
def test_a_source_is_called_by_what_holds_no_secret(source: dict[str, Any], label: str) -> None:
    assert SourceSettings(**source).label == label


def test_what_other_processes_are_sent_is_the_same_source() -> None:
    for raw in (
        FILE,
        COMMAND,
        SQL,
        {"command": ["a", "b"], "timeout_seconds": 3.0},
        {"python": "a.b:c", "prefix": "p/"},
    ):
        source = SourceSettings(**raw)
        assert SourceSettings.model_validate(source.model_dump(mode="json")) == source
        assert source.value == raw[source.kind]
