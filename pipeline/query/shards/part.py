"""A share of a generation's segments, open: what a shard answers to a front.

All that depends on other segments (the mean length, idf, the columns' kinds) is in the question.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from pathlib import Path

from pipeline.forking import Lock
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.openness import Closable, Openness, while_open
from pipeline.query.access import Groups
from pipeline.query.shards.messages import Message
from pipeline.query.shards.part_view import PartView
from pipeline.query.shards.partition import Numbering, Share
from pipeline.query.snapshot import Snapshot

_MOST_VIEWS = 32


def identity(manifest: Manifest) -> str:
    """What tells a generation from one of the same number that another build published."""
    return manifests.digest({"manifest": manifests.to_bytes(manifest).decode()})


class Part(Closable):
    """A share of a generation, for any number of threads."""

    def __init__(self, path: Path, manifest: Manifest, share: Share, verify: bool = True) -> None:
        """Open the share's segments, and no other. Raises `CorruptIndexError`."""
        self.path, self.manifest, self.share = path, manifest, share
        self.identity = identity(manifest)
        own = share.segments_of(manifest)
        segments = tuple(manifest.segments[place] for place in own)
        self._whole = Snapshot(path, dataclasses.replace(manifest, segments=segments), verify)
        self._numbering = Numbering(manifest, own)
        self._views: OrderedDict[Groups, PartView] = OrderedDict()
        self._viewing = Lock()
        self._open = Openness(f"{path}: this shard was closed", self._whole.close)

    @while_open
    def answer(self, question: Message, groups: Groups) -> Message:
        """The answer to a question, as readers with these groups see the share. Raises `QueryError`,
        `NoMessageError`, `CorruptIndexError`."""
        return self._view(groups).answer(question)

    def close(self) -> None:
        """Answer no more; what was begun ends well."""
        self._open.close()

    def _view(self, groups: Groups) -> PartView:
        with self._viewing:
            found = self._views.get(groups)
            if found is None:
                found = self._views[groups] = PartView(self._whole.seen_by(groups), self._numbering)
                if len(self._views) > _MOST_VIEWS:
                    self._views.popitem(last=False)
            self._views.move_to_end(groups)
            return found
