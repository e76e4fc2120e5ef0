"""The command line: wrappers around the library. `docs/cli.md` describes every command and option."""

from __future__ import annotations

import atexit
import gc
import io
import logging
import sys
from pathlib import Path

import click

from pipeline.cli import build, evaluate, generations, logs, maintain, models, query, report, tune
from pipeline.cli.common import Commands, Options


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hybrid-pipeline")
@click.option("--config", "config_path", metavar="FILE", help="Configuration. Default: config.yaml")
@click.option("--quiet", "-q", is_flag=True, help="Print results and errors only: no progress, no summary.")
@click.option("--verbose", "-v", is_flag=True, help="Log what is being done to standard error.")
@click.option("--log-json", is_flag=True, help="Log to standard error, one JSON object a line; summaries too.")
@click.pass_context
def cli(ctx: click.Context, config_path: str | None, quiet: bool, verbose: bool, log_json: bool) -> None:
    """Build a hybrid (dense + lexical) index from documents, and search it."""
    level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
    logs.configure(log_json, level)
    ctx.obj = Options(
        Path(config_path or "config.yaml"), quiet, log_json, config_named=config_path is not None, verbose=verbose
    )


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
