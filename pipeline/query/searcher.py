"""An open index: a snapshot of one generation that answers queries."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pipeline.arguments import file_path, flag, whole_number
from pipeline.config import EncoderSettings, QuerySettings, checked_settings
from pipeline.forking import Lock
from pipeline.index import candidate, locks
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.choose.open_settings import as_recorded, goes_on
from pipeline.models.contract import Encoder
from pipeline.models.own import check_travels, is_encoder, own_encoder
from pipeline.models.shared import SharedEncoder
from pipeline.openness import while_open
from pipeline.query.access import ALL_GROUPS, Groups, WantedGroups, chosen_groups, narrowed
from pipeline.query.compatibility import came_with, check_encoder
from pipeline.query.rerank import SecondLook
from pipeline.query.searches import Searches
from pipeline.query.snapshot import Snapshot

log = logging.getLogger(__name__)

_MOST_VIEWS = 32
_Reopening = tuple[
    Path, int | Literal["staged"], Encoder | EncoderSettings | None, Path, QuerySettings, bool, Groups
]


class Index(Searches):
    """An open index, for any number of threads; a publish by others never disturbs it.

    A forked child may go on with it (not with a local model that has encoded before the fork: `EncoderError`).
    Pickled or copied, it is opened again, wherever that is: path, generation and settings travel. So does an
    encoder that was passed as an object: a copy shares it, a pickled index takes it along (`EncoderError` if it
    cannot be pickled), and a forked child goes on with it as it is there.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        encoder: Encoder,
        settings: QuerySettings,
        verify: bool,
        encoder_settings: EncoderSettings | None = None,
        base: Path = Path(),
        staged: bool = False,
        groups: Groups = ALL_GROUPS,
    ) -> None:
        """Use `open_index`."""
        shared = encoder if isinstance(encoder, SharedEncoder) else SharedEncoder(lambda: encoder)
        self._encoder_settings = None
        if shared.own is None:
            self._encoder_settings = encoder_settings or EncoderSettings.model_validate(manifest.encoder)
        bundled = came_with(path, manifest, self._encoder_settings)
        self._whole = whole = Snapshot(path, manifest, verify)
        self.groups = groups
        second_look = SecondLook(whole, shared, self._encoder_settings, base, bundled)
        super().__init__(path, whole.seen_by(groups), shared, settings, second_look)
        self._views: OrderedDict[Groups, Index] = OrderedDict()
        self._viewing = Lock()
        self._verify = verify
        self._staged = staged
        self._base = base
        if bundled is not None:
            locks.hold_for(self, bundled)

    @while_open
    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Answer no more: searches that others have begun end well, later ones raise `QueryError`.

        Files are released with the object.
        """
        self._open.close()

    @while_open
    def __reduce__(self) -> tuple[Any, ...]:
        own = self.encoder.own
        if own is not None:
            check_travels(self.path, own)
        return _reopened, self._reopening(self._encoder_settings or own)

    @while_open
    def __copy__(self) -> Index:
        return _reopened(*self._reopening(self._encoder_settings or self.encoder))

    def _reopening(self, encoder: Encoder | EncoderSettings | None) -> _Reopening:
        """Return what `_reopened` needs to open this generation again."""
        generation: int | Literal["staged"] = "staged" if self._staged else self.manifest.generation
        base = self._base.absolute()
        return self.path.absolute(), generation, encoder, base, self.settings, self._verify, self.groups

    @while_open
    def for_groups(self, groups: WantedGroups) -> Index:
        """This index as readers with these groups see it: of those that it is opened with, if it is with some.

        Where no `access_field` is configured, everybody sees everything. The view is closed with this index, and
        closes it. Raises `QueryError`.
        """
        wanted = narrowed(self.groups, chosen_groups(groups))
        if wanted == self.groups or self._whole.manifest.access_field is None:
            return self
        with self._viewing:
            found = self._views.get(wanted)
            if found is None:
                found = self._views[wanted] = self._view(wanted)
                if len(self._views) > _MOST_VIEWS:
                    self._views.popitem(last=False)
            self._views.move_to_end(wanted)
            return found

    def _view(self, groups: Groups) -> Index:
        view = Index.__new__(Index)
        view.__dict__.update(self.__dict__)
        Searches.__init__(
            view, self.path, self._whole.seen_by(groups), self.encoder, self.settings, self._second_look
        )
        view.groups, view._open = groups, self._open
        view._views, view._viewing = OrderedDict(), Lock()
        return view

    @while_open
    def refresh(self) -> Index:
        """This index if it is the live generation, else the live one, opened with the same encoder and settings.

        This one goes on answering as before, so that threads which use it see no mixture; close it when none does.
        Raises `IncompatibleIndexError` if the live generation was built with another encoder, `QueryError` if this
        index was closed, and what `open_index` raises.
        """
        return manifests.with_live(self.path, self._moved_to)

    def _moved_to(self, manifest: Manifest) -> Index:
        if manifest == self._whole.manifest:
            return self
        check_encoder(self.path, manifest, self.encoder)
        return Index(
            self.path,
            manifest,
            self.encoder,
            self.settings,
            self._verify,
            self._encoder_settings,
            self._base,
            groups=self.groups,
        )


def open_index(
    path: str | os.PathLike[str],
    *,
    generation: int | Literal["staged"] | None = None,
    encoder: Encoder | EncoderSettings | Mapping[str, Any] | None = None,
    base: str | os.PathLike[str] = Path(),
    settings: QuerySettings | Mapping[str, Any] | None = None,
    verify: bool = True,
    groups: WantedGroups = None,
) -> Index:
    """Open the live generation of an index, or the one given; `staged`: the one that the gate refused.

    `encoder` overrides the encoder recorded in the index (another path to the same model, say); it must have the
    recorded fingerprints. It may be an object of the application's own (`pipeline.models.contract.Encoder`), which
    is used as it is; an index that was built with one needs it here. `base` is where a relative model folder
    starts. `verify` compares every file's checksum with the manifest before it is used, unless it was compared less
    than a week ago and has not changed since. `encoder` and `settings` may be mappings as in config.yaml.
    `groups`: of the reader, where the index was built with an `access_field`; without any, nothing is found;
    `pipeline.query.access.ALL_GROUPS` finds everything.
    Raises `ConfigError` for an argument that makes no sense, `IndexNotFoundError`, `CorruptIndexError`,
    `IncompatibleIndexError`, `EncoderError`.
    """
    folder, start, verify = file_path("path", path), file_path("base", base), flag("verify", verify)
    own = own_encoder(encoder) if is_encoder(encoder) else None
    other = None
    if own is None and encoder is not None:
        other = checked_settings(EncoderSettings, encoder, "encoder", besides="an encoder")
    query = QuerySettings() if settings is None else checked_settings(QuerySettings, settings, "settings")
    staged = isinstance(generation, str) and generation == "staged"
    readers = chosen_groups(groups)

    def use(manifest: Manifest) -> Index:
        recorded = as_recorded(EncoderSettings.model_validate(manifest.encoder), manifest.fingerprints)
        chosen = recorded if other is None else as_recorded(other, manifest.fingerprints)
        if other is not None and chosen.model != other.model:
            log.warning("%s", goes_on(folder, chosen.model))
        bundled = came_with(folder, manifest, chosen)
        loaded = own or SharedEncoder(lambda: load_encoder(chosen, base=start, bundled=bundled))
        check_encoder(folder, manifest, loaded, from_index=chosen == recorded)
        if manifest.access_field is not None and groups is None:
            log.warning(
                "%s: documents are shown by their %s, and no groups were given, so nothing is found: open it "
                "with groups=[…], or with groups=pipeline.query.access.ALL_GROUPS",
                folder,
                manifest.access_field,
            )
        return Index(folder, manifest, loaded, query, verify, chosen, start, staged, readers)

    if generation is None:
        return manifests.with_live(folder, use)
    if staged:
        return use(candidate.load(folder))
    return use(manifests.load(folder, whole_number("generation", generation, "give a whole number, or 'staged'")))


def _reopened(
    path: Path,
    generation: int | Literal["staged"],
    encoder: Encoder | EncoderSettings | None,
    base: Path,
    settings: QuerySettings,
    verify: bool,
    groups: Groups,
) -> Index:
    return open_index(
        path,
        generation=generation,
        encoder=encoder,
        base=base,
        settings=settings,
        verify=verify,
        groups=groups,
    )
