"""The reports that builds have left beside an index, made anew from their records: no file goes out as it is."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import CorruptIndexError, IndexNotFoundError
from pipeline.job.report import failure, record
from pipeline.job.report.page import sections
from pipeline.job.report.record import BuildRecord
from pipeline.query.access import ALL_GROUPS
from pipeline.query.showing.source import shown_source
from pipeline.serve.page.frame import BUILDS
from pipeline.serve.page.state import PageState
from pipeline.serve.page.text.links import day_of
from pipeline.serve.page.views import BuildsView, Option
from pipeline.serve.page.words import Words
from pipeline.serve.problems import not_found, without_folders
from pipeline.serve.service import Service

_LISTED = 20
_FOLDERS = re.compile(r"(?<![\w.:/])(?:~|\.\.)?/(?:[^\s/:'\"`,;()<>]+/)*(?=[^\s/:'\"`,;()<>])")


def builds(service: Service, generation: str, state: PageState, words: Words) -> BuildsView:
    """The report of a generation, or of the last build. Raises `Problem`: 404.

    Where documents are shown by groups, only who may see all of them is told of builds, which name documents.
    """
    holder = service.holder(state.index)
    path = holder.path
    with holder.lent() as index:
        if index.manifest.access_field is not None and index.groups is not ALL_GROUPS:
            raise not_found(words.no_report)
    known = record.numbers(path)
    number = int(generation) if re.fullmatch("[0-9]{1,8}", generation) else None
    if generation and number not in known:
        raise not_found(words.no_report)
    try:
        shown = record.load(path, number)
    except (IndexNotFoundError, CorruptIndexError):
        raise not_found(words.no_report) from None
    body = sections(_told(shown, service.folders), record.history(path, shown.generation))
    listed = tuple(
        Option(state.elsewhere(BUILDS, generation=str(one)), words.generation.format(one), one == shown.generation)
        for one in reversed(known[-_LISTED:])
    )
    return BuildsView(body, listed, _failed(path, words))


def _failed(path: Path, words: Words) -> str:
    """That the last build failed, and when; why, stands in files on the machine that it ran on."""
    found = failure.load(path)
    day = day_of({"date": found.failed_at}) if found else None
    return words.failed_build.format(words.day(day.year, day.month, day.day)) if day else ""


def _told(found: BuildRecord, folders: Mapping[str, Path]) -> BuildRecord:
    """A record without folders of the machine that it was built on."""

    def told(text: str) -> str:
        return without_paths(without_folders(text, folders))

    return dataclasses.replace(
        found,
        note=told(found.note),
        refusals=tuple(map(told, found.refusals)),
        rejections=tuple(
            dataclasses.replace(one, file=shown_source(one.file), reason=told(one.reason))
            for one in found.rejections
        ),
    )


def without_paths(text: str) -> str:
    """A text in which of every absolute path only the last name is left."""
    return _FOLDERS.sub("", text)
