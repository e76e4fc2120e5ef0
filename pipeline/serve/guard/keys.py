"""API keys: who may do what. Only their SHA-256 is kept, as a key is a long random text that nobody can guess."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from pipeline.config.problems import in_words, load_yaml
from pipeline.config.search import Settings
from pipeline.errors import ConfigError
from pipeline.query.access import ALL_GROUPS, NO_GROUPS, Groups

VARIABLE = "PIPELINE_API_KEYS"
SHORTEST = 20
_PREFIX = "sha256:"
_MAKE_ONE = "`pipeline key` makes one"


class Role(Enum):
    """What a key is for. `READ`: all but the metrics; `METRICS`: the metrics, and nothing that was indexed."""

    READ = "read"
    METRICS = "metrics"


EVERY_ROLE = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `name`: of the key. `by_header`: the groups of each request stand in `serve.groups_header`."""

    name: str
    roles: frozenset[Role]
    groups: Groups = NO_GROUPS
    by_header: bool = False


ANYBODY = Caller("anybody", EVERY_ROLE)
"""Who asks a service without keys."""
NOBODY = Caller("nobody", frozenset())
"""Who asks a service with keys by none of them."""


class KeyEntry(Settings):
    """A key as the file of keys has it."""

    name: str = Field(min_length=1)
    hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    roles: list[Literal["read", "metrics"]] = Field(default=["read"], min_length=1)
    groups: list[str] | Literal["all", "header"] = Field(default=[])


class KeyFile(Settings):
    """The file of keys."""

    keys: list[KeyEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is known by its hash alone."""

    hash: str
    caller: Caller


class Keyring:
    """The keys of a service; without any, everybody may do everything."""

    def __init__(self, keys: Sequence[Key] = (), anybody: Caller = ANYBODY) -> None:
        """`anybody`: who asks where there are no keys."""
        self._keys, self._anybody = tuple(keys), anybody

    def __bool__(self) -> bool:
        """Whether there are keys."""
        return bool(self._keys)

    def caller(self, presented: str | None) -> Caller | None:
        """Whose key this is, `None` if it is nobody's. Takes as long for a wrong key as for any right one."""
        if not self._keys:
            return self._anybody
        found = None
        hashed = hash_of(presented or "").encode()
        for key in self._keys:
            if hmac.compare_digest(hashed, key.hash.encode()):
                found = key.caller
        return found if presented else None


NO_KEYS = Keyring()


def new_key() -> str:
    """A new key: 256 random bits."""
    return f"hp_{secrets.token_urlsafe(32)}"


def hash_of(key: str) -> str:
    """How a key stands in the file of keys."""
    return _PREFIX + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def load_keys(
    file: Path | None,
    environment: Mapping[str, str],
    groups_header: str | None = None,
    groups: Groups = NO_GROUPS,
) -> Keyring:
    """The keys of a file and of `PIPELINE_API_KEYS`. Raises `ConfigError`.

    `groups_header`: in which header some callers name their groups. `groups`: of those without a key, if there are
    no keys.
    """
    keys = [*([] if file is None else _of_file(file)), *_of_variable(environment.get(VARIABLE, ""))]
    seen: dict[str, str] = {}
    for key in keys:
        if key.hash in seen:
            raise ConfigError(f"the keys {seen[key.hash]} and {key.caller.name} are the same; remove one")
        seen[key.hash] = key.caller.name
    trusting = [key.caller.name for key in keys if key.caller.by_header]
    if trusting and groups_header is None:
        raise ConfigError(f"the key {trusting[0]} has `groups: header`; name the header as serve.groups_header")
    by_header = groups_header is not None and not groups
    return Keyring(keys, dataclasses.replace(ANYBODY, groups=groups, by_header=by_header))


def _of_file(file: Path) -> list[Key]:
    try:
        raw = load_yaml(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file of keys; {_MAKE_ONE}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{file}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{file}: expected `keys:` and below it an entry for each key; {_MAKE_ONE}")
    try:
        found = KeyFile.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(in_words(error, str(file), KeyFile)) from None
    return [Key(entry.hash, _caller(entry)) for entry in found.keys]


def _caller(entry: KeyEntry) -> Caller:
    roles = _roles(entry.roles)
    if isinstance(entry.groups, list):
        return Caller(entry.name, roles, frozenset(entry.groups))
    return Caller(entry.name, roles, ALL_GROUPS if entry.groups == "all" else NO_GROUPS, entry.groups == "header")


def _of_variable(text: str) -> list[Key]:
    """`KEY`, or `ROLE:KEY`, with commas between them."""
    found = []
    for number, one in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        role, colon, key = one.rpartition(":")
        known = {role.value for role in Role}
        if colon and role not in known:
            raise ConfigError(
                f"{VARIABLE}: entry {number}: give KEY or ROLE:KEY; roles: {', '.join(sorted(known))}"
            )
        if len(key) < SHORTEST:
            raise ConfigError(
                f"{VARIABLE}: entry {number} has {len(key)} characters, fewer than {SHORTEST}: such a key can be "
                f"guessed; {_MAKE_ONE}"
            )
        found.append(Key(hash_of(key), Caller(f"{VARIABLE} {number}", _roles([role or "read"]))))
    return found


def _roles(names: Sequence[str]) -> frozenset[Role]:
    return frozenset(map(Role, names))
