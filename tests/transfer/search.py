"""Run by an interpreter that may have very little: search an index in every way, and print what is found.

`search.py INDEX BLOCKED…`: none of the blocked modules may be importable.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from typing import Any

QUERIES = ["how do I undo a bad build", "한국어 문장을 되돌리기", "years and metadata"]


def found(index: str) -> list[Any]:
    import pipeline

    hits: list[Any] = []
    with pipeline.open_index(index) as opened:
        for mode in ("hybrid", *opened.legs):
            hits += opened.search_many(QUERIES, 5, mode=mode, explain=True, context=1)
        hits += [opened.search(QUERIES[0], 5, where="year >= 2024"), opened.similar(_examples(), 3)]
        facets = [dataclasses.asdict(facet) for facet in opened.facets(["lang"], "year >= 2024")]
    return [*([dataclasses.asdict(hit) for hit in some] for some in hits), facets]


def _examples() -> Any:
    from pipeline.query.similar import Examples

    return Examples(documents=("en/fusion.md",), texts=("a text",))


if __name__ == "__main__":
    for module in sys.argv[2:]:
        assert importlib.util.find_spec(module) is None, f"{module} is there"
    print(json.dumps(found(sys.argv[1]), default=str))
