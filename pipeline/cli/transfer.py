"""Commands that carry an index to another machine: export, import."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import EXIT_NOTHING_TO_DO, Options
from pipeline.cli.places import place_of
from pipeline.wording import counted, printable

if TYPE_CHECKING:
    from pipeline.transfer.exporting import ExportReport

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.command()
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
@click.option("--generation", type=int, metavar="N", help="An earlier one. Default: the live one.")
@click.option("--with-model", is_flag=True, help="Take the converted encoder along, to search without the model.")
@click.option("--vectors", is_flag=True, help="Write chunks with their vectors as Parquet, for other systems too.")
@click.option(
    "--extra", "extras", multiple=True, metavar="NAME", help="Also list what this extra needs: serve, … Repeatable."
)
@_JSON
@click.pass_obj
def export(
    options: Options,
    target: Path,
    index_path: str | None,
    generation: int | None,
    with_model: bool,
    vectors: bool,
    extras: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write one generation to the folder DIR, or to an archive if it is named like index.tar.zst.

    With --vectors: to the file DIR if it is named like chunks.parquet, else to a folder of such files.
    """
    if vectors:
        if with_model or extras:
            raise click.UsageError("--vectors writes no index: leave out --with-model and --extra")
        _export_vectors(
            options, place_of(options, index_path).fetched(options, generation), target, generation, as_json
        )
        return
    from pipeline.transfer.exporting import ModelSource
    from pipeline.transfer.exporting import export as write

    model = None
    if with_model and index_path is None:
        model = ModelSource(options.config().encoder, options.config().base)
    elif with_model:
        model = ModelSource()
    folder = place_of(options, index_path).fetched(options, generation)
    report = write(folder, target, generation, model=model, extras=extras)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
        return
    options.say(
        f"exported generation {report.generation} to {printable(report.target)}: "
        f"{counted(report.documents, 'document')}, {counted(report.chunks, 'chunk')}, "
        f"{counted(report.files, 'file')}, {report.written_bytes:,} bytes{_model(report, with_model)}",
        event="exported",
        **dataclasses.asdict(report),
    )


def _export_vectors(options: Options, index: Path, target: Path, generation: int | None, as_json: bool) -> None:
    from pipeline.transfer.vectors import export_vectors

    report = export_vectors(index, target, generation)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
        return
    has = [name for name, there in (("weights", report.lexical), ("multi-vectors", report.multivectors)) if there]
    options.say(
        f"exported the vectors of generation {report.generation} to {printable(report.target)}: "
        f"{counted(report.documents, 'document')}, {counted(report.chunks, 'chunk')}, "
        f"{report.dimension} dimensions{''.join(f', {name}' for name in has)}, {counted(report.files, 'file')}, "
        f"{report.written_bytes:,} bytes",
        event="exported vectors",
        **dataclasses.asdict(report),
    )


def _model(report: ExportReport, wanted: bool) -> str:
    if report.with_model:
        return ", its encoder included"
    return "; its encoder is no model that could be taken along" if wanted else ""


@click.command(name="import")
@click.argument("source", metavar="EXPORT", type=click.Path(path_type=Path))
@click.argument("index", metavar="INDEX")
@click.option("--new-encoder", is_flag=True, help="Go on with the export's encoder where the index has another.")
@click.option("--retain", type=click.IntRange(min=1), help="Generations to keep. Default: `retain` (3).")
@_JSON
@click.pass_obj
def import_(
    options: Options, source: Path, index: str, new_encoder: bool, retain: int | None, as_json: bool
) -> None:
    """Make the folder or archive EXPORT the live generation of INDEX, which may be new."""
    from pipeline.transfer.importing import import_index

    kept = options.config_or_defaults().retain if retain is None else retain
    place = place_of(options, index)
    with place.writing(options, kept) as publish:
        report = import_index(source, place.folder, new_encoder=new_encoder, retain=kept, publish=publish)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
    else:
        what = "imported" if report.published else "nothing to do: the live generation has what was exported as"
        options.say(
            f"{what} generation {report.exported}; live in {printable(report.index)}: generation "
            f"{report.generation}, {counted(report.documents, 'document')}, {counted(report.chunks, 'chunk')}",
            event="imported",
            **dataclasses.asdict(report),
        )
    if not report.published:
        sys.exit(EXIT_NOTHING_TO_DO)
