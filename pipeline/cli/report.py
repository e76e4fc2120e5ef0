"""The command that tells what a build did: report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options, console

if TYPE_CHECKING:
    from pipeline.report.record import BuildRecord


@click.command()
@click.argument("generation", type=int, required=False, metavar="[N]")
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def report(options: Options, generation: int | None, show: bool, index_path: str | None, as_json: bool) -> None:
    """Tell what the last build, or that of generation N, did, and where its page is."""
    from pipeline.render import report_tables
    from pipeline.report.page import ensure_page
    from pipeline.report.record import load, record_path

    index = options.index_folder(index_path)
    record = load(index, generation)
    page = ensure_page(index, record).resolve()
    if as_json:
        stored = record_path(index, record.generation).read_text("utf-8")
        click.echo(json.dumps(json.loads(stored), ensure_ascii=False))
    else:
        report_tables.record_tables(console(), record)
        if successor := _another_of_this_number(index, record):
            click.echo(f"the generation {record.generation} that is there is another one: {successor}")
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
