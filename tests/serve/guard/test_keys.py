"""Keys: what a file and a variable may say, whose key is whose, and that only hashes are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.query.access import ALL_GROUPS, NO_GROUPS
from pipeline.serve.guard.keys import (
    ANYBODY,
    NO_KEYS,
    SHORTEST,
    VARIABLE,
    Caller,
    Role,
    hash_of,
    load_keys,
    new_key,
)

WEB, METRICS = "a key of the web server", "a key of the monitoring"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with two keys."""
    path = tmp_path / "keys.yaml"
    path.write_text(
        f"keys:\n- {{name: web, hash: '{hash_of(WEB)}'}}\n"
        f"- {{name: prometheus, hash: '{hash_of(METRICS)}', roles: [metrics]}}\n"
    )
    return path


def test_a_key_is_whose_hash_stands_in_the_file(file: Path) -> None:
    keys = load_keys(file, {})
    assert keys
    assert keys.caller(WEB) == Caller("web", frozenset({Role.READ}))
    assert keys.caller(METRICS) == Caller("prometheus", frozenset({Role.METRICS}))
    for wrong in (None, "", "x", WEB + " ", hash_of(WEB), hash_of(WEB).removeprefix("sha256:"), "\ud800"):
        assert keys.caller(wrong) is None
    assert WEB not in repr(vars(keys))


def test_keys_of_the_environment_have_roles_too(file: Path) -> None:
    keys = load_keys(file, {VARIABLE: f"{'a' * 40}, metrics:{'b' * 40} ,read:{'c' * 40},"})
    roles = [found.roles for letter in "abc" if (found := keys.caller(letter * 40))]
    assert roles == [{Role.READ}, {Role.METRICS}, {Role.READ}]
    assert keys.caller(WEB) is not None


def test_without_keys_everybody_may_do_everything() -> None:
    assert not NO_KEYS
    assert NO_KEYS.caller(None) == NO_KEYS.caller("x") == ANYBODY
    assert not load_keys(None, {VARIABLE: " , "})


def test_the_hash_is_plain_sha256() -> None:
    assert hash_of("key") == "sha256:" + hashlib.sha256(b"key").hexdigest()


def test_new_keys_differ_and_are_long() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(len(key) >= 43 and ":" not in key and "," not in key for key in made)


def test_every_key_is_compared_though_the_first_is_right(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.serve.guard import keys as module

    compared = []
    real = module.hmac.compare_digest
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b))
    keys = load_keys(file, {})
    for presented in (WEB, METRICS, "short", "x" * 5000, None):
        compared.clear()
        keys.caller(presented)
        assert compared == [(71, 71), (71, 71)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected `keys:`"),
        ("keys: []", "keys"),
        ("keys: [{name: web}]", "`keys.0.hash` is missing"),
        ("keys: [{name: web, hash: secret}]", "hash"),
        ("keys: [{name: web, hash: 'sha256:abc'}]", "hash"),
        (f"keys: [{{hash: '{hash_of('x')}'}}]", "name"),
        (f"keys: [{{name: web, hash: '{hash_of('x')}', role: read}}]", "did you mean `roles`"),
        (f"keys: [{{name: web, hash: '{hash_of('x')}', roles: []}}]", "roles"),
        (f"keys: [{{name: web, hash: '{hash_of('x')}', roles: [admin]}}]", "roles"),
        (
            f"keys: [{{name: a, hash: '{hash_of('x')}'}}, {{name: b, hash: '{hash_of('x')}'}}]",
            "a and b are the same",
        ),
        ("keys: [", "not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as refusal:
        load_keys(path, {})
    assert "\n" not in str(refusal.value)


def test_a_key_has_groups(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    entries = {"a": "[hr, staff]", "b": "all", "c": "header", "d": "[]"}
    lines = [f"- {{name: {name}, hash: '{hash_of(name)}', groups: {groups}}}\n" for name, groups in entries.items()]
    path.write_text("keys:\n" + "".join(lines))
    with pytest.raises(ConfigError, match="the key c has `groups: header`; name the header"):
        load_keys(path, {})
    keys = load_keys(path, {}, "X-Groups")
    found = [(one.groups, one.by_header) for name in entries if (one := keys.caller(name)) is not None]
    assert found == [({"hr", "staff"}, False), (ALL_GROUPS, False), (NO_GROUPS, True), (NO_GROUPS, False)]
    anybody = load_keys(None, {}, None, frozenset({"x"})).caller(None)
    assert anybody is not None
    assert anybody.groups == {"x"}


def test_what_is_wrong_with_the_environment_is_told_without_the_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file of keys"):
        load_keys(tmp_path / "none.yaml", {})
    short = "s" * (SHORTEST - 1)
    for text, says in ((short, "entry 1 has 19 characters"), (f"admin:{'a' * 40}", "roles: metrics, read")):
        with pytest.raises(ConfigError, match=says) as refusal:
            load_keys(None, {VARIABLE: text})
        assert short not in str(refusal.value)
        assert "aaaa" not in str(refusal.value)
