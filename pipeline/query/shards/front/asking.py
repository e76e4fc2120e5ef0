"""The questions of one view of a generation: which shard is asked about what."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from pipeline.index.manifest import Manifest
from pipeline.query.access import Groups
from pipeline.query.shards import encoding
from pipeline.query.shards.messages import Message
from pipeline.query.shards.panel import Panel, groups_to_field
from pipeline.query.shards.partition import owners
from pipeline.query.snapshot import Ids


class Questions:
    """Questions to the shards of a generation, as readers of some groups ask them. Raises `ShardsFailedError`."""

    def __init__(
        self, panel: Panel, manifest: Manifest, identity: str, groups: Groups, missing: Collection[int]
    ) -> None:
        """`identity`: what tells the generation from others of its number; `missing`: places of shards that are not
        asked."""
        self.panel, self.missing = panel, frozenset(missing)
        self.there = tuple(place for place in range(len(panel.shards)) if place not in self.missing)
        self.owners = owners(manifest, len(panel.shards))
        self._starts = np.cumsum([0, *(entry.chunks for entry in manifest.segments)])
        self._common = {"generation": manifest.generation, "identity": identity, "groups": groups_to_field(groups)}

    def all(
        self, ask: str, fields: Mapping[str, Any] | None = None, arrays: encoding.Arrays | None = None
    ) -> dict[int, Message]:
        """The answers of all shards that are there, by their place."""
        message = self._question(ask, fields or {}, arrays or {})
        return self.panel.ask(dict.fromkeys(self.there, message))

    def owners_of(
        self, ask: str, ids: Ids, fields: Mapping[str, Any] | None = None, arrays: encoding.Arrays | None = None
    ) -> list[tuple[Ids, Message]]:
        """What the owners of some chunks answer: positions in `ids`, and the answer about these."""
        parts = self.positions(ids)
        found = self.panel.ask(
            {
                place: self._question(ask, fields or {}, {**(arrays or {}), "ids": ids[inside]})
                for place, inside in parts.items()
            }
        )
        return [(parts[place], answer) for place, answer in found.items()]

    def each(self, ask: str, questions: Mapping[int, Message]) -> dict[int, Message]:
        """The answer of each shard to a question of its own."""
        return self.panel.ask(
            {place: self._question(ask, one.fields, dict(one.arrays)) for place, one in questions.items()}
        )

    def positions(self, ids: Ids) -> dict[int, Ids]:
        """For each shard that has some of these chunks, their positions."""
        if not len(ids):
            return {}
        segments = np.searchsorted(self._starts, ids, side="right") - 1
        places = np.array(self.owners, np.int64)[segments]
        return {int(place): np.flatnonzero(places == place) for place in np.unique(places)}

    def segments_of(self, place: int) -> list[int]:
        """The places in the manifest of a shard's segments."""
        return [number for number, owner in enumerate(self.owners) if owner == place]

    def is_asked_about(self, number: int) -> bool:
        """Whether there is such a chunk, with a shard that is asked."""
        if not 0 <= number < int(self._starts[-1]):
            return False
        return self.owners[int(np.searchsorted(self._starts, number, side="right")) - 1] not in self.missing

    def _question(self, ask: str, fields: Mapping[str, Any], arrays: encoding.Arrays) -> Message:
        return Message({"ask": ask, **self._common, **fields}, arrays)
