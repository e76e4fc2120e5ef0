"""The command that tells what a build did: report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options, console
from pipeline.cli.places import place_of

if TYPE_CHECKING:
    from pipeline.job.report.record import BuildRecord


@click.command()
@click.argument("generation", type=int, required=False, metavar="[N]")
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def report(options: Options, generation: int | None, show: bool, index_path: str | None, as_json: bool) -> None:
    """Tell what the last build, or that of generation N, did, and where its page is."""
    from pipeline.job.report import failure
    from pipeline.job.report.page import ensure_page
    from pipeline.job.report.record import load, record_path
    from pipeline.render import report_tables

    place = place_of(options, index_path)
    index = place.folder
    if place.remote is not None:
        from pipeline.remote.reports import fetch

        fetch(place.remote, generation)
    failed = failure.load(index) if generation is None else None
    if failed is not None:
        page, stored = failure.page_path(index).resolve(), failure.record_path(index)
        if not as_json:
            report_tables.failure_tables(console(), failed)
    else:
        record = load(index, generation)
        page, stored = ensure_page(index, record).resolve(), record_path(index, record.generation)
        if not as_json:
            report_tables.record_tables(console(), record)
            if successor := _another_of_this_number(index, record):
                click.echo(f"the generation {record.generation} that is there is another one: {successor}")
    if as_json:
        click.echo(json.dumps(json.loads(stored.read_bytes()), ensure_ascii=False))
    else:
        click.echo(f"the whole story: {page}")
    if show and click.launch(page.as_uri()) != 0:
        click.echo(f"no browser could be started; open {page} in one", err=True)


def _another_of_this_number(index: Path, record: BuildRecord) -> str | None:
    """What took the number of a refused build: a rollback, a compaction or a repair, which write no report."""
    from pipeline.errors import IndexStoreError
    from pipeline.index import manifest as manifests

    try:
        manifest = manifests.load(index, record.generation)
    except IndexStoreError:
        return None
    if (manifest.created_at, manifest.note) == (record.created_at, record.note):
        return None
    return manifest.note or f"published {manifest.created_at}"
