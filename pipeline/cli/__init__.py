"""The command line: wrappers around the library. `docs/cli.md` describes every command and option."""

from __future__ import annotations

import io
import sys

import click

from pipeline.cli.common import Commands, shared_options

_MODULES = {
    "build": ("init", "ingest", "encode", "build", "publish"),
    "query": ("query",),
    "similar": ("similar",),
    "servers.serve": ("serve",),
    "servers.mcp": ("mcp",),
    "servers.key": ("key",),
    "judging.evaluate": ("evaluate",),
    "judging.tune": ("tune",),
    "generations": ("status", "generations", "rollback", "gc"),
    "report": ("report",),
    "maintain": ("verify", "repair", "compact"),
    "models": ("models",),
    "transfer": ("export", "import"),
}


@click.group(
    cls=Commands,
    modules={name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names},
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[*shared_options()],
)
@click.version_option(package_name="hybrid-pipeline")
def cli() -> None:
    """Build a hybrid (dense + lexical) index from documents, and search it."""


def main() -> None:
    """The `pipeline` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter must not end a command
    cli(prog_name="pipeline")
