"""The command line: wrappers around the library. `docs/cli.md` describes every command and option."""

from __future__ import annotations

import atexit
import gc
import io
import sys

import click

from pipeline.cli import build, evaluate, generations, maintain, models, query, report, tune
from pipeline.cli.common import Commands, shared_options


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, params=[*shared_options()])
@click.version_option(package_name="hybrid-pipeline")
def cli() -> None:
    """Build a hybrid (dense + lexical) index from documents, and search it."""


for command in (
    build.init,
    build.ingest,
    build.encode,
    build.build,
    build.publish,
    query.query,
    evaluate.evaluate,
    tune.tune,
    generations.status,
    generations.generations,
    generations.rollback,
    generations.gc,
    report.report,
    maintain.verify,
    maintain.repair,
    maintain.compact,
    models.models,
):
    cli.add_command(command)


def main() -> None:
    """The `pipeline` command."""
    atexit.register(_leave_it_to_the_system)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter must not end a command
    cli(prog_name="pipeline")


def _leave_it_to_the_system() -> None:
    """Going through all that is loaded, only to free it, would take a seventh of a query."""
    if "duckdb" not in sys.modules:  # which complains of what is not freed
        gc.freeze()
