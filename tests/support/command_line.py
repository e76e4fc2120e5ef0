"""Running the command line in a folder, and what every refusal has in common."""

from __future__ import annotations

import os
import re
from pathlib import Path

from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.cli.common import Options


def run(folder: Path, *arguments: str, stdin: str | None = None, options: Options | None = None) -> Result:
    """`options`: of an application that passes an encoder or a chunker of its own."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(cli, list(arguments), input=stdin, obj=options)
    finally:
        os.chdir(before)


def refused(folder: Path, *arguments: str, code: int, says: str, stdin: str | None = None) -> None:
    result = run(folder, *arguments, stdin=stdin)
    assert result.exit_code == code, result.output
    assert re.search(says, result.stderr), result.stderr
    if code != 2 or "Usage" not in result.stderr:
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.output
