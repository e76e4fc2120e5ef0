"""Every place that names the supported versions of Python names the same ones."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
VERSIONS = [
    match[1]
    for classifier in PYPROJECT["project"]["classifiers"]
    if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier))
]
LOWEST, HIGHEST = VERSIONS[0], VERSIONS[-1]


def test_the_classifiers_leave_no_version_out() -> None:
    minors = [int(version.removeprefix("3.")) for version in VERSIONS]
    assert minors == list(range(minors[0], minors[-1] + 1))


def test_the_lowest_version_is_the_one_that_pip_and_the_tools_ask_for() -> None:
    assert PYPROJECT["project"]["requires-python"] == f">={LOWEST}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{LOWEST.replace('.', '')}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == LOWEST


def test_make_versions_runs_them_all() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^VERSIONS := (.*)$", makefile, re.MULTILINE)[1].split() == VERSIONS  # type: ignore[index]


def test_the_documents_name_them_all() -> None:
    listed = f"Python {', '.join(VERSIONS[:-1])} or {HIGHEST}"
    assert listed in (ROOT / "README.md").read_text("utf-8")
    assert f"Python {', '.join(VERSIONS[:-1])} and {HIGHEST}" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
