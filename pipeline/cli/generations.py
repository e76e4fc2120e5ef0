"""Commands about what is live: status, generations, rollback, gc."""

from __future__ import annotations

import json
import sys

import click

from pipeline.cli.common import EXIT_FAILED, Options, console
from pipeline.errors import CorruptIndexError, IncompatibleIndexError
from pipeline.wording import counted, printable

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

    index = options.index_folder(index_path)
    known = manifests.generations(index)
    staged, refused = staging.ingest_folder(index).exists(), candidate.waiting(index)
    if not known and (staged or refused):
        record = status_tables.unpublished_record(str(index), staged, refused)
    else:
        live = manifests.load(index, manifests.latest_generation(index))
        record = status_tables.status_record(str(index), live, known, staged, refused)
    if as_json:
        click.echo(json.dumps(record, ensure_ascii=False))
    elif record["generation"] is None:
        for line in ("nothing is published yet", *status_tables.waiting_lines(record)):
            click.echo(printable(f"{index}: {line}"))
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

    index = options.index_folder(index_path)
    live = manifests.latest_generation(index)
    known, damaged = [], []
    for number in reversed(manifests.generations(index)):
        try:
            known.append(manifests.load(index, number))
        except (CorruptIndexError, IncompatibleIndexError) as error:
            damaged.append(str(error))
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

    restored = store.rollback(options.index_folder(index_path), generation)
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

    index = options.index_folder(index_path)
    manifests.latest_generation(index)
    if retain is None:
        retain = options.config().retain
    with store.lock(index):
        removed = store.collect_garbage(index, retain)
    left = manifests.generations(index)
    options.say(
        f"removed {counted(len(removed), 'segment')}; generations left: {left}", event="collected", generations=left
    )
