"""Commands about what is live: status, generations, rollback, gc."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import EXIT_FAILED, Options, console
from pipeline.cli.places import Place, place_of
from pipeline.errors import CorruptIndexError, IncompatibleIndexError
from pipeline.wording import counted, printable

if TYPE_CHECKING:
    from pipeline.remote.place import RemoteIndex

_INDEX = click.option(
    "--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration."
)


@click.command()
@_INDEX
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def status(options: Options, index_path: str | None, as_json: bool) -> None:
    """Show the live generation: documents, chunks, segments, sizes, fingerprints."""
    from pipeline.index import candidate, staging
    from pipeline.index import manifest as manifests
    from pipeline.render import status_tables

    place = place_of(options, index_path)
    staged, refused = staging.ingest_folder(place.folder).exists(), candidate.waiting(place.folder)
    with place.manifests() as index:
        known = manifests.generations(index)
        if not known and (staged or refused):
            record = status_tables.unpublished_record(place.name, staged, refused)
        else:
            _refuse_nothing(place, known)
            live = manifests.load(index, manifests.latest_generation(index))
            record = status_tables.status_record(place.name, live, known, staged, refused)
    if as_json:
        click.echo(json.dumps(record, ensure_ascii=False))
    elif record["generation"] is None:
        for line in ("nothing is published yet", *status_tables.waiting_lines(record)):
            click.echo(printable(f"{place.name}: {line}"))
    else:
        status_tables.status_table(console(), record)


@click.command()
@_INDEX
@click.option("--json", "as_json", is_flag=True, help="One JSON object a generation, a line each.")
@click.pass_obj
def generations(options: Options, index_path: str | None, as_json: bool) -> None:
    """List the generations that can be searched or rolled back to, newest first."""
    from pipeline.index import manifest as manifests
    from pipeline.render import build_lines

    place = place_of(options, index_path)
    known, damaged = [], []
    with place.manifests() as index:
        _refuse_nothing(place, manifests.generations(index))
        live = manifests.latest_generation(index)
        for number in reversed(manifests.generations(index)):
            try:
                known.append(manifests.load(index, number))
            except (CorruptIndexError, IncompatibleIndexError) as error:
                damaged.append(str(error).replace(str(index), place.name))
    if as_json:
        for manifest in known:
            click.echo(json.dumps(build_lines.generation_record(manifest), ensure_ascii=False))
    else:
        build_lines.generations_table(console(), known, live)
    for line in damaged:
        options.warn(line, event="damaged")
    if damaged:
        sys.exit(EXIT_FAILED)


@click.command()
@click.argument("generation", type=int, required=False, metavar="[N]")
@_INDEX
@click.pass_obj
def rollback(options: Options, generation: int | None, index_path: str | None) -> None:
    """Publish generation N again (default: the newest left before the live one), as a new generation."""
    from pipeline.index import store

    place = place_of(options, index_path)
    if place.remote is None:
        restored = store.rollback(place.folder, generation)
    else:
        from pipeline.remote import upkeep

        restored = upkeep.rollback(place.remote, generation, options.progress())
    options.say(
        f"published generation {restored.generation}: {printable(restored.note)} "
        f"({counted(restored.documents, 'document')}, {counted(restored.chunks, 'chunk')})",
        event="rolled back",
        generation=restored.generation,
    )


@click.command()
@_INDEX
@click.option("--retain", type=click.IntRange(min=1), help="Generations to keep. Default: `retain` (3).")
@click.pass_obj
def gc(options: Options, index_path: str | None, retain: int | None) -> None:
    """Remove old generations and the files that no remaining one names."""
    from pipeline.index import manifest as manifests
    from pipeline.index import store

    place = place_of(options, index_path)
    if retain is None:
        retain = options.config().retain
    if place.remote is not None:
        _collect_remote(options, place.remote, retain)
        return
    index = place.folder
    manifests.latest_generation(index)
    with store.lock(index):
        removed = store.collect_garbage(index, retain)
    left = manifests.generations(index)
    options.say(
        f"removed {counted(len(removed), 'segment')}; generations left: {left}", event="collected", generations=left
    )


def _collect_remote(options: Options, remote: RemoteIndex, retain: int) -> None:
    from pipeline.index import manifest as manifests
    from pipeline.index import store
    from pipeline.remote.collect import collect

    done = collect(remote, retain)
    if manifests.generations(remote.folder):
        with store.lock(remote.folder):
            store.collect_garbage(remote.folder, retain)
    options.say(
        f"removed {counted(len(done.removed), 'generation')} and {counted(done.objects, 'object')}, "
        f"{done.bytes:,} bytes; generations left: {list(done.generations)}",
        event="collected",
        generations=list(done.generations),
    )


def _refuse_nothing(place: Place, known: Sequence[int]) -> None:
    """Say where nothing is, rather than in which folder its manifests were to be listed."""
    if place.remote is not None and not known:
        raise place.remote.missing()
