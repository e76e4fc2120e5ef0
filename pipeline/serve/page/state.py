"""What the page's address says: one record, read from the query string and written into every link."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from pipeline.serve.problems import Problem

FACET = "f."
"""Before the name of a metadata field, for a value that was chosen in it."""
STEP = 10
"""How many more hits each click shows."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that was chosen in a facet, as text."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class PageState:
    """A search as its link says it. `like`: the document whose like is looked for, instead of a query.

    `k`: as it stands there, since it may be no number. `lang`: of the interface, if it was chosen.
    """

    q: str = ""
    index: str | None = None
    mode: str | None = None
    filter: str = ""
    k: str = ""
    collapse: bool = False
    explain: bool = False
    like: str = ""
    lang: str | None = None
    choices: tuple[Choice, ...] = ()

    @classmethod
    def of(cls, given: QueryParams) -> PageState:
        """Read a query string; what is not known there is left out."""
        choices = dict.fromkeys(
            Choice(name.removeprefix(FACET), value)
            for name, value in given.multi_items()
            if name.startswith(FACET) and name != FACET
        )
        return cls(
            q=given.get("q", "").strip(),
            index=given.get("index") or None,
            mode=given.get("mode") or None,
            filter=given.get("filter", "").strip(),
            k=given.get("k", "").strip(),
            collapse=given.get("collapse") == "1",
            explain=given.get("explain") == "1",
            like=given.get("like", ""),
            lang=given.get("lang") or None,
            choices=tuple(choices),
        )

    @property
    def is_narrowed(self) -> bool:
        """Whether anything leaves documents out."""
        return bool(self.filter or self.choices)

    @property
    def hits_wanted(self) -> int | None:
        """How many hits the address asks for. Raises `Problem` if that is no number."""
        if not self.k:
            return None
        if not self.k.isascii() or not self.k.isdecimal():
            raise Problem(422, "k: give a whole number of hits")
        return int(self.k[:9])

    def fields(self) -> list[tuple[str, str]]:
        """Names and values, those left out that say nothing."""
        plain = [
            ("q", self.q),
            ("like", self.like),
            ("index", self.index or ""),
            ("mode", self.mode or ""),
            ("filter", self.filter),
            ("k", self.k),
            ("collapse", "1" if self.collapse else ""),
            ("explain", "1" if self.explain else ""),
            *((f"{FACET}{choice.field}", choice.value) for choice in self.choices),
            ("lang", self.lang or ""),
        ]
        return [(name, value) for name, value in plain if value]

    def address(self, path: str = "/", **changes: Any) -> str:
        """The address of this search with some fields changed."""
        return with_query(path, dataclasses.replace(self, **changes).fields())

    def with_choice(self, choice: Choice) -> str:
        """The address where a value is chosen too."""
        return self.address(choices=(*self.choices, choice), k="")

    def without_choice(self, choice: Choice) -> str:
        """The address where it is not."""
        return self.address(choices=tuple(one for one in self.choices if one != choice), k="")

    def elsewhere(self, path: str, **fields: str) -> str:
        """The address of another page, in the same index and language."""
        kept = [("index", self.index or ""), ("lang", self.lang or "")]
        return with_query(path, [(name, value) for name, value in [*fields.items(), *kept] if value])


def with_query(path: str, fields: list[tuple[str, str]]) -> str:
    """A path with a query string, if there is anything to say in it."""
    written = urlencode(fields, errors="replace")
    return f"{path}?{written}" if written else path
