"""The command that makes keys: its entry is what the service reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.query.access import ALL_GROUPS, NO_GROUPS, Groups
from pipeline.serve.guard.keys import SHORTEST, Caller, Role, load_keys

OWN_KEY = "k" * SHORTEST


@pytest.mark.parametrize(
    ("options", "groups", "by_header"),
    [
        ([], NO_GROUPS, False),
        (["--groups", "staff, 인사", "--groups", "#hr: it's"], frozenset({"staff", "인사", "#hr: it's"}), False),
        (["--all-groups"], ALL_GROUPS, False),
        (["--groups-by-header"], NO_GROUPS, True),
    ],
)
def test_an_entry_is_read_as_it_was_asked_for(
    tmp_path: Path, options: list[str], groups: Groups, by_header: bool
) -> None:
    made = CliRunner().invoke(cli, ["key", "web", "--stdin", *options], input=f"{OWN_KEY}\n")
    assert made.exit_code == 0
    assert OWN_KEY not in made.output
    file = tmp_path / "keys.yaml"
    file.write_text(f"keys:\n{made.stdout}", "utf-8")
    expected = Caller("web", frozenset({Role.READ}), groups, by_header)
    assert load_keys(file, {}, "X-Groups").caller(OWN_KEY) == expected


def test_groups_are_said_once() -> None:
    refused = CliRunner().invoke(cli, ["key", "web", "--groups", "a", "--all-groups"])
    assert refused.exit_code == 2
    assert "give one of them" in refused.output
