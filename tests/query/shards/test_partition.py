"""Which shard has what: every segment has one owner, the same for all, and the load is even."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QueryError
from pipeline.index.manifest import LexicalParameters, Manifest, SegmentEntry
from pipeline.index.statistics import Statistics
from pipeline.query.shards.partition import Numbering, Share, owners

EMPTY = Manifest(1, "", 0, 0, (), {}, None, LexicalParameters("bm25", 1.2, 0.75), {}, Statistics())


def manifest_of(sizes: list[int]) -> Manifest:
    entries = tuple(SegmentEntry(f"s{number}", size, ()) for number, size in enumerate(sizes))
    return dataclasses.replace(EMPTY, segments=entries, chunks=sum(sizes))


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 5))
def test_every_segment_has_one_owner(sizes: list[int], shares: int) -> None:
    manifest = manifest_of(sizes)
    parts = [Share(number, shares).segments_of(manifest) for number in range(shares)]
    assert sorted(place for part in parts for place in part) == list(range(len(sizes)))
    loads = [sum(sizes[place] for place in part) for part in parts]
    assert max(loads) - min(loads) <= max(sizes, default=0)


def test_the_largest_go_first() -> None:
    assert owners(manifest_of([10, 30, 20, 20]), 2) == [0, 0, 1, 1]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 4))
def test_numbers_lead_back(sizes: list[int], shares: int) -> None:
    manifest = manifest_of(sizes)
    starts = np.cumsum([0, *sizes])
    for number in range(shares):
        own = Share(number, shares).segments_of(manifest)
        numbering = Numbering(manifest, own)
        ids = np.concatenate([np.zeros(0, np.int64), *(np.arange(starts[one], starts[one + 1]) for one in own)])
        assert numbering.outer(np.arange(len(ids))).tolist() == ids.tolist()
        assert numbering.inner(ids).tolist() == list(range(len(ids)))
        for foreign in sorted({-1, sum(sizes), *range(sum(sizes))} - set(ids.tolist())):
            with pytest.raises(QueryError, match="none of this shard"):
                numbering.inner(np.array([foreign]))


@pytest.mark.parametrize("text", ["", "1", "2/2", "00/2", "1/0", "1/2/3", "a/b", "-1/2", "1/99999"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ConfigError, match="give i/n"):
        Share.parsed(text)


def test_a_share_is_read_as_it_is_shown() -> None:
    shown: Any = str(Share.parsed("2/3"))
    assert shown == "2/3"
