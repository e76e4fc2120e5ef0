"""Commands that look after an index: verify, repair, compact."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Literal

import click

from pipeline.cli.common import EXIT_FAILED, EXIT_NOTHING_TO_DO, EXIT_OK, Generation, Options
from pipeline.cli.places import place_of
from pipeline.wording import counted, printable

if TYPE_CHECKING:
    from pipeline.index.upkeep.repair import RepairReport

_INDEX = click.option(
    "--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.command()
@_INDEX
@click.option(
    "--generation", type=Generation(), metavar="N", help="An earlier one, or `staged`. Default: the live one."
)
@click.option("--deep", is_flag=True, help="Also compare the files' contents with each other.")
@_JSON
@click.pass_obj
def verify(
    options: Options, index_path: str | None, generation: int | Literal["staged"] | None, deep: bool, as_json: bool
) -> None:
    """Check every file of a generation, and list everything that is wrong."""
    from pipeline.index.upkeep.verify import verify as check

    place = place_of(options, index_path)
    if place.remote is None or generation == "staged":
        report = check(place.folder, generation, deep)
    else:
        from pipeline.remote import upkeep

        report = upkeep.verify(place.remote, generation, deep, options.progress())
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
    else:
        for problem in report.problems:
            click.echo(printable(f"{problem.file}: {problem.reason}"))
        if report.ok:
            options.say(
                f"generation {report.generation} is sound: {counted(report.files, 'file')}, "
                f"{report.bytes:,} bytes, {counted(report.chunks, 'chunk')}"
                + ("" if deep else "; contents were not compared (--deep)"),
                event="verified",
                generation=report.generation,
                deep=deep,
            )
    if not report.ok:
        if not as_json:
            found = len(report.problems)
            options.warn(f"{counted(found, 'problem')}; `pipeline repair` mends what it can", problems=found)
        sys.exit(EXIT_FAILED)


@click.command()
@_INDEX
@click.option(
    "--drop-damaged", is_flag=True, help="Take documents that cannot be mended out; the next build encodes them."
)
@_JSON
@click.pass_obj
def repair(options: Options, index_path: str | None, drop_damaged: bool, as_json: bool) -> None:
    """Rebuild damaged files that can be derived from others, and say how to get back the rest."""
    from pipeline.index.choices import DenseChoice
    from pipeline.index.upkeep.repair import repair as mend

    settings = options.config_or_defaults().segments
    wanted = DenseChoice(settings.dense, settings.recall_target)
    place, written = place_of(options, index_path), 0
    if place.remote is None:
        report = mend(place.folder, wanted, drop_damaged)
    else:
        from pipeline.remote import upkeep

        report, written = upkeep.repair(place.remote, wanted, drop_damaged, options.progress())
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
    else:
        for file in report.rebuilt:
            click.echo(f"rebuilt {file}")
        for lost in report.lost:
            options.warn(f"cannot rebuild {lost.file}: {lost.reason}; {lost.cure}", event="lost", file=lost.file)
        again = f", {counted(written, 'object')} written again to the store" if written else ""
        options.say(_repaired(report) + again, event="repaired", generation=report.generation)
    if report.lost:
        sys.exit(EXIT_FAILED)


def _repaired(report: RepairReport) -> str:
    if not (report.rebuilt or report.dropped or report.lost):
        return f"nothing to repair: generation {report.generation} is sound"
    parts = [f"{counted(len(report.rebuilt), 'file')} rebuilt", f"{len(report.lost)} lost"]
    if report.dropped:
        parts.append(f"{counted(len(report.dropped), 'document')} taken out: `pipeline build` encodes them again")
    if report.published:
        parts.append(f"published generation {report.generation}")
    return ", ".join(parts)


@click.command()
@_INDEX
@_JSON
@click.pass_obj
def compact(options: Options, index_path: str | None, as_json: bool) -> None:
    """Merge small segments and drop deleted chunks, without encoding; publishes a generation."""
    from pipeline.index.choices import DenseChoice, LexicalChoice
    from pipeline.index.upkeep.compact import compact as merge
    from pipeline.index.upkeep.compact import everything

    config = options.config_or_defaults()
    place = place_of(options, index_path)
    with place.writing(options, config.retain) as publish:
        report = merge(
            place.folder,
            lambda manifest: everything(manifest, config.segments.max_chunks),
            dense=DenseChoice(config.segments.dense, config.segments.recall_target),
            lexical=LexicalChoice(config.segments.lexical, config.segments.recall_target),
            retain=config.retain,
            progress=options.progress(),
            publish=publish,
        )
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report)))
    elif report.published:
        from pipeline.render.build_lines import recall_lines

        line = (
            f"published generation {report.generation}: {counted(report.segments_before, 'segment')} into "
            f"{report.segments_after}, {counted(report.dropped_chunks, 'deleted chunk')} dropped, "
            f"{report.bytes_before:,} bytes before, {report.bytes_after:,} after"
        )
        options.say(
            "\n".join([line, *recall_lines(report.lexical_recall)]),
            event="compacted",
            **dataclasses.asdict(report),
        )
    else:
        message = f"nothing to do: generation {report.generation} has nothing to merge or to drop"
        options.say(message, event="compacted", **dataclasses.asdict(report))
    sys.exit(EXIT_OK if report.published else EXIT_NOTHING_TO_DO)
