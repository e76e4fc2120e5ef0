"""A framework that is not installed is one line that says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.errors import MissingDependencyError
from pipeline.integrations.extras import needs_extra

ADAPTERS = {
    "langchain": ("langchain", "langchain_core"),
    "llama_index": ("llama-index", "llama_index"),
    "haystack": ("haystack", "haystack"),
    "mcp": ("mcp", "mcp"),
}


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), needs_extra("langchain"):
        _ = 1 / 0
    with pytest.raises(MissingDependencyError, match=r"\[mcp\]"), needs_extra("mcp"):
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401


@pytest.mark.parametrize("module", ADAPTERS)
def test_a_missing_framework_names_its_extra(module: str) -> None:
    extra, package = ADAPTERS[module]
    script = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from pipeline.errors import MissingDependencyError\n"
        f"try: import pipeline.integrations.{module}\n"
        "except MissingDependencyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f"pip install 'hybrid-pipeline[{extra}]'\n"), done.stdout
    assert done.stdout.count("\n") == 1


def test_an_adapter_loads_no_other_framework() -> None:
    frameworks = sorted({package for _, package in ADAPTERS.values()})
    for module, (_, package) in ADAPTERS.items():
        script = (
            f"import pipeline.integrations.{module}, sys\n"
            f"print(*[name for name in {frameworks!r} if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [package]


def test_every_adapter_is_looked_at() -> None:
    folder = Path(pipeline.__file__).parent / "integrations"
    adapters = {path.stem for path in folder.glob("*.py") if "needs_extra(" in path.read_text("utf-8")}
    assert adapters - {"extras"} == ADAPTERS.keys()
