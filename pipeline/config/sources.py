"""What is indexed: files of a folder, or what a program, a database, a repository or a site gives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config.search import Settings

PATH, COMMAND, PYTHON, SQL, GIT, URLS = KINDS = ("path", "command", "python", "sql", "git", "urls")
Code = Literal["auto", "none", "python", "javascript", "typescript", "tsx", "java", "go", "rust", "c", "cpp"]
"""What `code` of a source may be."""
ONE_FILE = frozenset({COMMAND, PYTHON, SQL})
"""Kinds whose records come as one file, which messages call by the name of the source."""

_FIELDS = frozenset({"prefix", "id_field", "text_field", "title_field", "code"})
_FILES = _FIELDS | {"include", "exclude", "vector_field", "table"}
_RECORDS = _FIELDS | {"name"}
_KEYS = {
    PATH: _FILES,
    COMMAND: _RECORDS | {"timeout_seconds"},
    PYTHON: _RECORDS | {"timeout_seconds"},
    SQL: _RECORDS | {"dsn_env", "updated_field"},
    GIT: _FILES | {"ref"},
    URLS: _FILES | {"requests_per_second", "user_agent", "timeout_seconds"},
}
_WHY_NOT = {
    "include": "it chooses among files, and this source gives records",
    "exclude": "it chooses among files, and this source gives records",
    "table": "it is about files of tables, and this source gives records",
    "vector_field": "vectors are read from files",
    "dsn_env": "only `sql` connects to a database",
    "updated_field": "only `sql` can ask for the rows that changed",
    "ref": "only `git` has revisions",
    "timeout_seconds": "only a `command`, a `python` function and `urls` can take too long",
    "requests_per_second": "only `urls` are asked for one by one",
    "user_agent": "only `urls` are asked for by name",
    "name": "its files have names of their own",
}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_USER_AGENT = r"^[A-Za-z][A-Za-z0-9._-]*(/[!-~]+)?( [ -~]*)?$"
_ENVIRONMENT = r"^[A-Za-z_][A-Za-z0-9_]*$"


class SourceSettings(Settings):
    """One thing to index: exactly one of `path` (a folder or file), `command`, `python`, `sql`, `git` and `urls`.

    `include` and `exclude` are globs relative to the folder, `**` spans subfolders; no `include` means every file
    that there is a reader for. `prefix` is put before every `doc_id`, for sources whose names would clash.
    `vector_field`: the column of given vectors, by default `vector`. `table`: a CSV or TSV file is one table, and
    no record a row. `command`: for the shell, or a program and its arguments; `python`: `module:function`; `sql`: a
    query to the database whose URL is in the environment variable `dsn_env`. `name`: what messages and hits call a
    source of records. `updated_field`: the column that tells whether a row has changed. `ref`:
    a branch, tag or commit, by default that which is checked out; `urls`: addresses, or the file or address of a
    list of them. `code`: the language that the texts of records are code in; `auto`: Python is recognised; `none`:
    none of them is code. `requests_per_second`: to one host; `user_agent`: what servers and robots.txt know us by.
    """

    path: str | None = None
    command: str | list[str] | None = None
    python: str | None = None
    sql: str | None = None
    git: str | None = None
    urls: str | list[str] | None = None
    name: str | None = None
    include: list[str] = Field(default=[])
    exclude: list[str] = Field(default=[])
    prefix: str = ""
    id_field: str | None = None
    text_field: str | None = None
    title_field: str | None = None
    vector_field: str | None = None
    table: bool = False
    code: Code = "auto"
    timeout_seconds: float | None = Field(default=None, gt=0)
    dsn_env: str | None = Field(default=None, pattern=_ENVIRONMENT)
    updated_field: str | None = None
    ref: str | None = None
    requests_per_second: float | None = Field(default=None, gt=0, le=1000)
    user_agent: str | None = Field(default=None, pattern=_USER_AGENT)

    @field_validator("command", "urls", mode="before")
    @classmethod
    def _text_or_texts(cls, value: object) -> object:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            return value
        raise ValueError("expected a text, or a list of texts such as `[export, --all]`")

    @model_validator(mode="after")
    def _one_kind_with_its_keys(self) -> SourceSettings:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found = (
                f"has {' and '.join(f'`{kind}`' for kind in given)}; make a source of each"
                if given
                else ("names nothing to index; give it one of these, such as `path: documents`")
            )
            raise ValueError(f"a source has one of {', '.join(f'`{kind}`' for kind in KINDS)}, this one {found}")
        kind = given[0]
        for key, field in type(self).model_fields.items():
            if key not in KINDS and key not in _KEYS[kind] and getattr(self, key) != field.default:
                raise ValueError(f"`{key}` makes no sense beside `{kind}`: {_WHY_NOT[key]}; remove it")
        if not self.value or not str(self.value).strip():
            raise ValueError(f"`{kind}` is empty; say what to index")
        if kind == SQL and self.dsn_env is None:
            raise ValueError(
                "`sql` needs `dsn_env`, the name of the environment variable with the database's URL, "
                "such as postgresql://user@host/database"
            )
        if kind == PYTHON and not re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.]*", self.python or ""):
            raise ValueError(f"`python: {self.python}` is no function; write it as package.module:function")
        if self.name is not None and not (self.name.strip() and self.name.isprintable() and "/" not in self.name):
            raise ValueError(f"`name: {self.name!r}` cannot be shown as one; give a word or two, without `/`")
        return self

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def value(self) -> str | list[str]:
        """What stands under the key of its kind."""
        found: str | list[str] = getattr(self, self.kind)
        return found

    @property
    def called(self) -> str:
        """What it is called where only a name is wanted: without arguments, which may hold what is secret."""
        if self.name is not None:
            return self.name
        if self.kind == COMMAND:
            return _program(self.value)
        if isinstance(self.urls, list):
            return self.urls[0] if len(self.urls) == 1 else f"{self.urls[0]} and {len(self.urls) - 1} more"
        return self.dsn_env or str(self.value)

    @property
    def label(self) -> str:
        """What messages, rejections and hits call it."""
        return str(self.path) if self.kind == PATH else f"{self.kind}: {self.called}"


def _program(command: str | list[str]) -> str:
    """The name of the program that a command starts, as far as a look at its words tells."""
    words = command.split() if isinstance(command, str) else command
    first = next((word for word in words if not _ASSIGNMENT.match(word)), "")
    name = PurePosixPath(first.strip("'\"`(){};&|")).name
    return name if name and name.isprintable() else "shell"


def refuse_same_names(sources: Sequence[SourceSettings]) -> None:
    """Raise `ValueError` if two sources of records are called the same: the ledger tells them apart by it."""
    count = Counter(source.label for source in sources if source.kind in ONE_FILE)
    for number, source in enumerate(sources):
        if source.kind in ONE_FILE and count[source.label] > 1:
            raise ValueError(
                f"sources.{number}: another source is called `{source.label}` too; give each a `name` of its own"
            )
    fetched = [source for source in sources if source.kind != PATH]
    for number, source in enumerate(fetched):
        if source in fetched[:number]:
            raise ValueError(f"sources: `{source.label}` stands there twice; remove one")
