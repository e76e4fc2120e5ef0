"""Commands that look after an index: verify, repair, compact."""

from __future__ import annotations

import dataclasses
import json
import sys

import click

from pipeline.cli.common import EXIT_FAILED, Options

_INDEX = click.option(
    "--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.command()
@_INDEX
@click.option("--generation", type=int, metavar="N", help="An earlier generation. Default: the live one.")
@click.option("--deep", is_flag=True, help="Also compare the files' contents with each other.")
@_JSON
@click.pass_obj
def verify(options: Options, index_path: str | None, generation: int | None, deep: bool, as_json: bool) -> None:
    """Check every file of a generation, and list everything that is wrong."""
    from pipeline.index.verify import verify as check

    report = check(options.index_folder(index_path), generation, deep)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
    else:
        for problem in report.problems:
            click.echo(f"{problem.file}: {problem.reason}")
        if report.ok and not options.quiet:
            click.echo(
                f"generation {report.generation} is sound: {report.files} files, {report.bytes:,} bytes, "
                f"{report.chunks:,} chunks" + ("" if deep else "; contents were not compared (--deep)")
            )
    if not report.ok:
        if not as_json:
            found = len(report.problems)
            click.echo(f"{found} problem{'s'[: found > 1]}; `pipeline repair` mends what it can", err=True)
        sys.exit(EXIT_FAILED)
