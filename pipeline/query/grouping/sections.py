"""Merging: where most chunks of a section are among the best, the section is one hit."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np

from pipeline.query.ranked import Ranked, Section
from pipeline.query.showing.context import neighbour
from pipeline.query.snapshot import Snapshot
from pipeline.records import Chunk

SHARE = 0.5
"""More than this share of a section's chunks must be among the best."""


def with_sections(snapshot: Snapshot, ranked: Ranked, k: int) -> Ranked:
    """The best `k`, after sections of two or more chunks took the places of their best ones.

    A section is a run of chunks of one document under the same headings. It is merged if more than `SHARE` of its
    chunks are among the best `k`; chunks that come up behind do not merge.
    """
    sections = _merged(snapshot, ranked, k)
    taken: dict[int, Section] = {number: section for section in sections for number in section.chunks}
    order: list[int] = []
    places: dict[int, Section] = {}
    seen: set[tuple[int, ...]] = set()
    for position in ranked.order.tolist():
        if len(order) == k:
            break
        section = taken.get(int(ranked.ids[position]))
        if section is not None:
            if section.chunks in seen:
                continue
            seen.add(section.chunks)
            places[position] = section
        order.append(position)
    return dataclasses.replace(ranked, order=np.array(order, np.int64), sections=places)


def _merged(snapshot: Snapshot, ranked: Ranked, k: int) -> list[Section]:
    numbers = ranked.ids[ranked.order[:k]].tolist()
    under: dict[tuple[str, tuple[str, ...]], list[tuple[int, Chunk]]] = defaultdict(list)
    for number in numbers:
        chunk = snapshot.chunk(number)
        under[chunk.doc_id, chunk.headings].append((number, chunk))
    found: dict[tuple[int, ...], Section] = {}
    for members in under.values():
        most = int((len(members) - 1) / SHARE) + 1  # the largest section that these can be more than `SHARE` of
        among = {number for number, _ in members}
        for number, chunk in members if len(members) > 1 else ():
            run = _run(snapshot, number, chunk, most)
            hits = len(among.intersection(run))
            if 1 < len(run) <= most and hits > SHARE * len(run):
                found[run] = Section(run, hits)
    return list(found.values())


def _run(snapshot: Snapshot, number: int, chunk: Chunk, most: int) -> tuple[int, ...]:
    """The numbers of the chunks of a section in their order; no more are looked at than one beyond `most`."""
    run = [number]
    for step in (-1, 1):
        place, ordinal = number, chunk.ordinal + step
        while len(run) <= most and ordinal >= 0:
            found = neighbour(snapshot, place, dataclasses.replace(chunk, ordinal=ordinal - step), ordinal)
            if found is None or found[1].headings != chunk.headings:
                break
            place = found[0]
            run.insert(0, place) if step < 0 else run.append(place)
            ordinal += step
    return tuple(run)
