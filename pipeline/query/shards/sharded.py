"""An index over shards: it answers what an open index answers, to the last digit."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pipeline.arguments import file_path
from pipeline.config import EncoderSettings, QuerySettings, checked_settings
from pipeline.errors import ConfigError, EncoderError, GenerationGoneError, ServiceError, ShardsFailedError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.choose.open_settings import as_recorded
from pipeline.models.contract import Encoder
from pipeline.models.own import is_encoder, own_encoder
from pipeline.models.shared import SharedEncoder
from pipeline.openness import while_open
from pipeline.query.access import ALL_GROUPS, Groups, WantedGroups, chosen_groups
from pipeline.query.compatibility import check_encoder
from pipeline.query.legs.contract import Leg
from pipeline.query.legs.registry import added_legs
from pipeline.query.searcher import Index
from pipeline.query.shards.front.remote_legs import sharded_legs
from pipeline.query.shards.front.whole import ShardedSnapshot
from pipeline.query.shards.messages import Message
from pipeline.query.shards.panel import Panel, Shard
from pipeline.query.snapshot import Snapshot

T = TypeVar("T")

_MOST_VIEWS = 8


class ShardedIndex(Index):
    """An index whose segments are with shards, for any number of threads. Use `open_shards`.

    Where a shard fails, a search raises `ShardsFailedError`; `attempt` may do without it. Nothing of it can be
    pickled or copied, and the shards stay open when it is closed.
    """

    def __init__(
        self,
        whole: ShardedSnapshot,
        encoder: SharedEncoder,
        settings: QuerySettings,
        encoder_settings: EncoderSettings | None,
        base: Path,
        groups: Groups = ALL_GROUPS,
    ) -> None:
        """Use `open_shards`."""
        self.panel = whole.panel
        self._encoder_settings, self._base = encoder_settings, base
        self._verify = self._staged = False
        self._without: OrderedDict[frozenset[int], ShardedIndex] = OrderedDict()
        self._begin(Path(self.panel.name), whole, encoder, settings, groups)

    def _opened_legs(self, snapshot: Snapshot) -> dict[str, Leg[Any]]:
        assert isinstance(snapshot, ShardedSnapshot)
        return sharded_legs(snapshot)

    def _seen_as(self, snapshot: Snapshot, groups: Groups) -> ShardedIndex:
        view = super()._seen_as(snapshot, groups)
        view._without = OrderedDict()
        return view

    @property
    def _sharded(self) -> ShardedSnapshot:
        assert isinstance(self.snapshot, ShardedSnapshot)
        return self.snapshot

    @property
    def missing(self) -> tuple[str, ...]:
        """The shards whose chunks are not found here, such as `1/3`."""
        return tuple(str(self.panel.shares[place]) for place in sorted(self._sharded.missing))

    def attempt(self, work: Callable[[Index], T], partial: bool, stays: bool = True) -> tuple[T, tuple[str, ...]]:
        """What `work` makes of this index, and which shards it had to do without: none unless `partial`.

        It is then that of an index which never had their chunks. `stays`: nobody looks for a newer generation
        first, if shards have left this one. Raises `ShardsFailedError` where a shard fails that is needed, or all
        do, and what `work` raises.
        """
        view = self
        if not partial and self._sharded.missing:
            raise ShardsFailedError(self.panel.name, dict.fromkeys(self.missing, "did not answer when looked for"))
        if partial and (down := self.panel.down - self._sharded.missing):
            view = self._doing_without(down)
        while True:
            try:
                return work(view), view.missing
            except ShardsFailedError as error:
                if not partial or (isinstance(error, GenerationGoneError) and not stays):
                    raise
                view = self._doing_without(self.panel.failed(error.shards) | view._sharded.missing, error)

    def _doing_without(self, missing: frozenset[int], error: ShardsFailedError | None = None) -> ShardedIndex:
        """This index without some shards; without those too that fail at the first question. Raises `error`."""
        while True:
            if len(missing) == len(self.panel.shards):
                reasons = dict.fromkeys(map(str, self.panel.shares), "did not answer a short while ago")
                raise error or ShardsFailedError(self.panel.name, reasons)
            with self._viewing:
                if (found := self._without.get(missing)) is not None:
                    return found
            try:
                view = self._seen_as(self._sharded.without(missing), self.groups)
            except ShardsFailedError as failed:
                missing, error = missing | self.panel.failed(failed.shards), failed
                continue
            with self._viewing:
                self._without[missing] = view
                while len(self._without) > _MOST_VIEWS:
                    self._without.popitem(last=False)
            return view

    def newest(self) -> int | None:
        """The newest generation that all shards have which answer; `None` where it is time to look closer."""
        states = _states(self.panel)
        assert isinstance(self._whole, ShardedSnapshot)
        if len(states) < len(self.panel.shards) or self._whole.missing:
            return None
        common = _common(states)
        return max(common) if common else None

    @while_open
    def refresh(self) -> Index:
        """This index if it is at the newest generation that the shards have, else one that is.

        Raises `ServiceError` if no shard answers, `IncompatibleIndexError` if it was built with another encoder.
        """
        states = _states(self.panel)
        missing = frozenset(range(len(self.panel.shards))) - states.keys()
        generation, known = _newest(self.panel, states)
        assert isinstance(self._whole, ShardedSnapshot)
        is_current = generation == self.manifest.generation and known == self._whole.identity
        if is_current and not self._whole.missing - missing:
            return self
        manifest = _manifest(self.panel, states, generation)
        check_encoder(self.path, manifest, self.encoder)
        whole = ShardedSnapshot(self.panel, manifest, missing=missing)
        return ShardedIndex(whole, self.encoder, self.settings, self._encoder_settings, self._base, self.groups)

    def __reduce__(self) -> NoReturn:
        raise self._stays_here()

    def __copy__(self) -> NoReturn:
        raise self._stays_here()

    def _stays_here(self) -> EncoderError:
        return EncoderError(f"{self.path}: an index over shards does not travel; open it with `open_shards` there")


def open_shards(
    shards: Sequence[Shard],
    *,
    name: str = "index",
    encoder: Encoder | EncoderSettings | Mapping[str, Any] | None = None,
    base: str | os.PathLike[str] = Path(),
    settings: QuerySettings | Mapping[str, Any] | None = None,
    groups: WantedGroups = None,
    partial: bool = False,
) -> ShardedIndex:
    """Open an index over its shards, the first of which is shard 1, at the newest generation that they have.

    The other arguments are those of `open_index`. `partial`: open it although shards do not answer.
    Raises `ConfigError`, `ServiceError`, `IncompatibleIndexError`, `EncoderError`.
    """
    if not shards:
        raise ConfigError("shards: give at least one")
    query = QuerySettings() if settings is None else checked_settings(QuerySettings, settings, "settings")
    query = query.model_copy(update={"log": False})  # there is no folder of the index here
    panel, start = Panel(name, shards), file_path("base", base)
    states = _states(panel, () if partial else range(len(shards)))
    manifest = _manifest(panel, states, _newest(panel, states)[0])
    recorded = as_recorded(EncoderSettings.model_validate(manifest.encoder), manifest.fingerprints)
    own = own_encoder(encoder) if is_encoder(encoder) else None
    chosen = recorded
    if own is None and encoder is not None:
        given = checked_settings(EncoderSettings, encoder, "encoder", besides="an encoder")
        chosen = as_recorded(given, manifest.fingerprints)
    loaded = own or SharedEncoder(lambda: load_encoder(chosen, base=start))
    check_encoder(Path(name), manifest, loaded, from_index=chosen == recorded)
    missing = frozenset(range(len(shards))) - states.keys()
    whole = ShardedSnapshot(panel, manifest, missing=missing)
    if added := added_legs(whole):
        raise ConfigError(
            f"{name}: this program has added the leg {', '.join(added)}, which shards do not search; open "
            "the folder of the index, or take the leg away with `pipeline.query.legs.registry.unregister`"
        )
    return ShardedIndex(whole, loaded, query, None if own else chosen, start, chosen_groups(groups))


def _states(panel: Panel, needed: Sequence[int] = ()) -> dict[int, dict[int, str]]:
    """Which generations each shard has that answers: by number, what tells each from others.

    Raises `ShardsFailedError` if one of those that are needed does not answer.
    """
    outcomes = panel.outcomes(dict.fromkeys(range(len(panel.shards)), Message({"ask": "state"})))
    failed = {
        str(panel.shares[place]): str(outcomes[place])
        for place in needed
        if not isinstance(outcomes[place], Message)
    }
    if failed:
        raise ShardsFailedError(panel.name, failed)
    found: dict[int, dict[int, str]] = {}
    for place, answer in outcomes.items():
        if isinstance(answer, Message):
            generations = answer.fields.get("generations")
            if not isinstance(generations, dict) or not generations:
                raise ShardsFailedError(panel.name, {str(panel.shares[place]): "does not say what it has"})
            found[place] = {int(number): str(known) for number, known in generations.items()}
    return found


def _common(states: Mapping[int, Mapping[int, str]]) -> dict[int, str]:
    """The generations that all have."""
    common: set[tuple[int, str]] | None = None
    for generations in states.values():
        common = set(generations.items()) if common is None else common & set(generations.items())
    return dict(common or ())


def _newest(panel: Panel, states: Mapping[int, Mapping[int, str]]) -> tuple[int, str]:
    """The newest generation that all have. Raises `ServiceError`."""
    if not states:
        raise ShardsFailedError(panel.name, dict.fromkeys(map(str, panel.shares), "does not answer"))
    common = _common(states)
    if not common:
        has = "; ".join(f"{panel.shares[place]}: {sorted(found)}" for place, found in sorted(states.items()))
        raise ServiceError(
            f"{panel.name}: its shards have no generation in common ({has}); give them the same index"
        )
    return max(common.items())


def _manifest(panel: Panel, states: Mapping[int, Mapping[int, str]], generation: int) -> Manifest:
    """The manifest of a generation, from a shard that has it."""
    place = min(states)
    question = Message({"ask": "manifest", "generation": generation, "identity": states[place][generation]})
    text = panel.ask({place: question})[place].text("manifest")
    return manifests.from_bytes(text.encode(), Path(panel.name), generation)
