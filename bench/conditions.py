"""Conditions on made-up metadata, as each store wants to be told: how much they keep, and how to say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LANGUAGES = ("en", "ko", "de", "fr", "ja")
SHARES = (0.6, 0.2, 0.1, 0.09, 0.01)
YEARS = range(2000, 2030)


@dataclass(frozen=True)
class Facts:
    """Metadata of every chunk. `languages`: numbers of `LANGUAGES`."""

    languages: npt.NDArray[np.int64]
    years: npt.NDArray[np.int64]

    @classmethod
    def drawn(cls, rng: np.random.Generator, chunks: int) -> Facts:
        """Random ones, some languages rare."""
        return cls(rng.choice(len(LANGUAGES), chunks, p=SHARES), rng.integers(YEARS.start, YEARS.stop, chunks))

    def of(self, i: int) -> dict[str, Any]:
        """The metadata of one chunk."""
        return {"lang": LANGUAGES[self.languages[i]], "year": int(self.years[i])}


@dataclass(frozen=True)
class Condition:
    """A language, if any, and the first of the years."""

    language: str | None
    first_year: int

    @property
    def sql(self) -> str:
        """As this index and LanceDB are told."""
        years = f"year >= {self.first_year}"
        return years if self.language is None else f"lang = '{self.language}' and {years}"

    @property
    def qdrant(self) -> Any:
        """As Qdrant is told."""
        from qdrant_client import models

        years = models.FieldCondition(key="year", range=models.Range(gte=self.first_year))
        if self.language is None:
            return models.Filter(must=[years])
        language = models.FieldCondition(key="lang", match=models.MatchValue(value=self.language))
        return models.Filter(must=[language, years])

    def mask(self, facts: Facts) -> npt.NDArray[np.bool_]:
        """Which chunks satisfy it."""
        kept: npt.NDArray[np.bool_] = facts.years >= self.first_year
        if self.language is not None:
            kept &= facts.languages == LANGUAGES.index(self.language)
        return kept


KEPT = {
    "one in 3000": Condition("ja", 2029),
    "one in 10": Condition("ko", 2015),
    "nearly all": Condition(None, 2001),
}
"""By about how much they keep."""

EACH_NEW = tuple(Condition(language, year) for year in YEARS for language in LANGUAGES)
"""Conditions of which no two are alike."""
