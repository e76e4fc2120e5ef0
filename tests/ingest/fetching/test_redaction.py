"""Credentials are cut out of what other programs say; the rest stays readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.fetching.redaction import (
    redacted,
    secrets_in_command,
    secrets_in_environment,
    secrets_in_url,
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "could not connect to postgresql://bob:hunter2@db:5432/x",
            "could not connect to postgresql://…@db:5432/x",
        ),
        ("https://token@host/repo.git not found", "https://…@host/repo.git not found"),
        ("password=hunter2 host=db", "password=… host=db"),
        ("PASSWORD: 'hunter2'", "PASSWORD: '…'"),
        ("Authorization: Bearer abc.def-123456", "Authorization: …"),
        ("using API_KEY=hunter2, retrying", "using API_KEY=…, retrying"),
        ("GITHUB_TOKEN=hunter2", "GITHUB_TOKEN=…"),
        ("file a.jsonl: no such file", "file a.jsonl: no such file"),
        ("export --password hunter2 --all", "export --password … --all"),
        ('password authentication failed for user "bob"', 'password authentication failed for user "bob"'),
        ("see https://host/page", "see https://host/page"),
    ],
)
def test_what_looks_like_a_credential_is_cut_out(text: str, left: str) -> None:
    assert redacted(text) == left


@given(st.text(min_size=4).filter(lambda t: t.strip("…")), st.text(), st.text())
def test_a_known_secret_never_stays(secret: str, before: str, after: str) -> None:
    left = redacted(before + secret + after, [secret])
    assert secret not in left or secret in redacted(before + after).replace("…", "")


def test_secrets_are_known_by_the_names_of_their_variables() -> None:
    environment = {
        "API_TOKEN": "tttt",
        "PGPASSWORD": "pppp",
        "HOME": "/root",
        "DB_DSN": "postgresql://u:p%40ss@h/d",
    }
    found = secrets_in_environment(environment)
    assert {"tttt", "pppp", "postgresql://u:p%40ss@h/d", "p%40ss", "p@ss"} <= set(found)
    assert "/root" not in found


def test_values_that_a_command_assigns_are_secret() -> None:
    command = "KEY=abcd NAME='two words' X=\"3 4\" ./export --n=5 Y=6"
    assert secrets_in_command(command) == ["abcd", "two words", "3 4", "6"]


def test_a_url_gives_its_password_as_it_stands_and_decoded() -> None:
    assert secrets_in_url("postgresql://u:p%40ss@h/d") == ["postgresql://u:p%40ss@h/d", "p%40ss", "p@ss"]
    assert secrets_in_url("postgresql://h/d") == []
    assert secrets_in_url("sqlite:///a.db") == []
